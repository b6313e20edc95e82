"""What calls return: dataclasses without protobuf, made from the messages."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from google.protobuf.json_format import MessageToDict

from fovea.client.errors import FoveaError, from_status
from fovea.client.gallery import Gallery, Tile
from fovea.detector.v1 import detector_pb2
from fovea.encoder.v1 import encoder_pb2
from fovea.search.v1 import search_pb2
from fovea.types.v1 import types_pb2


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in normalized coordinates: (0, 0) is the top left, (1, 1) the bottom right."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    @classmethod
    def of(cls, message: types_pb2.Box) -> Self:
        """From the wire."""
        return cls(message.x_min, message.y_min, message.x_max, message.y_max)

    def as_message(self) -> types_pb2.Box:
        """For the wire."""
        return types_pb2.Box(x_min=self.x_min, y_min=self.y_min, x_max=self.x_max, y_max=self.y_max)


@dataclass(frozen=True, slots=True)
class Detection:
    """One object: its box, its class and the detector's confidence, 0..1."""

    box: Box
    label: str
    score: float
    class_id: int

    @classmethod
    def of(cls, message: detector_pb2.Detection) -> Self:
        """From the wire."""
        return cls(Box.of(message.box), message.label, message.score, message.class_id)


@dataclass(frozen=True, slots=True)
class Detections(Sequence[Detection]):
    """The objects of one image, best first, and the size of the upright image."""

    detections: tuple[Detection, ...]
    width_px: int
    height_px: int
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, message: detector_pb2.DetectResponse) -> Self:
        """From the wire."""
        detections = tuple(map(Detection.of, message.detections))
        return cls(detections, message.width_px, message.height_px, tuple(message.warnings))

    def __len__(self) -> int:
        return len(self.detections)

    def __getitem__(self, position: Any) -> Any:
        return self.detections[position]


@dataclass(frozen=True, slots=True)
class Hit:
    """One image, or one region of an image, that was found; `score` is a cosine, -1..1."""

    image_id: str
    uri: str
    score: float
    region: Box | None
    label: str
    metadata: Mapping[str, Any]
    query_region: int | None
    copies: tuple[str, ...]
    message: search_pb2.Hit = field(repr=False, compare=False)
    """The hit as it came, with the fields of later releases."""

    @classmethod
    def of(cls, message: search_pb2.Hit) -> Self:
        """From the wire."""
        return cls(
            image_id=message.image_id,
            uri=message.uri,
            score=message.score,
            region=Box.of(message.region) if message.HasField("region") else None,
            label=message.label,
            metadata=MessageToDict(message.metadata),
            query_region=message.query_region if message.HasField("query_region") else None,
            copies=tuple(message.copies),
            message=message,
        )


@dataclass(frozen=True, slots=True)
class SearchResults(Sequence[Hit]):
    """The hits of a query, best first; `show()` draws them in a notebook."""

    hits: tuple[Hit, ...]
    space: str
    query_regions: tuple[Detection, ...]
    warnings: tuple[str, ...]
    timings_ms: Mapping[str, float]
    collection: str
    gateway: str = field(repr=False)
    message: search_pb2.SearchResponse = field(repr=False, compare=False)
    """The answer as it came, with the fields of later releases."""

    @classmethod
    def of(cls, message: search_pb2.SearchResponse, *, collection: str, gateway: str) -> Self:
        """From the wire; thumbnails come from the gateway, a URL or empty."""
        timings = {
            field.name.removesuffix("_ms"): value
            for field, value in message.timings.ListFields()
            if field.name.endswith("_ms")
        }
        return cls(
            hits=tuple(map(Hit.of, message.hits)),
            space=message.space,
            query_regions=tuple(map(Detection.of, message.query_regions)),
            warnings=tuple(message.warnings),
            timings_ms=timings,
            collection=collection,
            gateway=gateway,
            message=message,
        )

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, position: Any) -> Any:
        return self.hits[position]

    @property
    def next_page_token(self) -> str:
        """Empty on the last page; `hits` of the clients follows it."""
        return self.message.next_page_token

    @property
    def facets(self) -> dict[str, dict[Any, int]]:
        """How often each value of the fields asked for occurs among the hits, most frequent first."""
        return _counts(self.message.facets)

    def show(self, *, columns: int = 5) -> Gallery:
        """A grid of the images, for the end of a notebook's cell; the gateway or the local file gives what is shown."""
        tiles = [
            Tile(
                path=hit.uri,
                url=f"{self.gateway}/api/v1/collections/{self.collection}/images/{hit.image_id}/thumbnail?size=256"
                if self.gateway
                else "",
                caption=f"{hit.score:.3f} {hit.label}".strip(),
                region=(hit.region.x_min, hit.region.y_min, hit.region.x_max, hit.region.y_max) if hit.region else None,
            )
            for hit in self.hits
        ]
        return Gallery.of(tiles, columns=columns)


@dataclass(frozen=True, slots=True)
class FacetCounts(Mapping[str, Mapping[Any, int]]):
    """By field, how many images have each value, most frequent first; at most 100 values of a field."""

    counts: Mapping[str, Mapping[Any, int]]
    other_counts: Mapping[str, int]
    """By field, how often the values occur that are not listed."""
    image_count: int
    """How many images were counted: of larger collections a random sample of about 10,000."""
    is_complete: bool
    """Whether these are all images that match."""

    @classmethod
    def of(cls, message: search_pb2.CountFacetsResponse) -> Self:
        """From the wire."""
        others = {facet.field: facet.other_count for facet in message.facets}
        return cls(_counts(message.facets), others, message.image_count, message.is_complete)

    def __len__(self) -> int:
        return len(self.counts)

    def __iter__(self) -> Iterator[str]:
        return iter(self.counts)

    def __getitem__(self, field: str) -> Mapping[Any, int]:
        return self.counts[field]


@dataclass(frozen=True, slots=True)
class Encoded:
    """The embeddings of inputs in their order; an input that failed has its error among them."""

    space: str
    outcomes: tuple[npt.NDArray[np.float32] | FoveaError, ...]
    warnings: Mapping[int, tuple[str, ...]]
    """By the position of the input."""

    def __len__(self) -> int:
        return len(self.outcomes)

    def __iter__(self) -> Iterator[npt.NDArray[np.float32] | FoveaError]:
        return iter(self.outcomes)

    @property
    def embeddings(self) -> npt.NDArray[np.float32]:
        """All of them, (N, D); raises the error of the first input that failed."""
        for outcome in self.outcomes:
            if isinstance(outcome, FoveaError):
                raise outcome
        return np.stack([outcome for outcome in self.outcomes if isinstance(outcome, np.ndarray)])

    @classmethod
    def joined(cls, responses: Sequence[encoder_pb2.EncodeResponse]) -> Self:
        """The answers of several calls as one."""
        results = [result for response in responses for result in response.results]
        warnings = {position: tuple(result.warnings) for position, result in enumerate(results) if result.warnings}
        space = responses[0].space if responses else ""
        return cls(space, tuple(map(_outcome, results)), warnings)


def _outcome(result: encoder_pb2.Result) -> npt.NDArray[np.float32] | FoveaError:
    if result.WhichOneof("outcome") == "error":
        return from_status(result.error)
    return np.frombuffer(result.embedding, "<f4")


def _counts(facets: Iterable[search_pb2.Facet]) -> dict[str, dict[Any, int]]:
    return {facet.field: {MessageToDict(value.value): value.count for value in facet.values} for facet in facets}
