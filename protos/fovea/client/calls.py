"""Every call but the ingest stream, as a value: whom to ask, what, and how to read an answer. Both clients send them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypedDict, TypeVar

from fovea.client.collections import CollectionInfo, ReindexProgress, ScrubProgress, StoredImage
from fovea.client.content import ImageContent, image_bytes
from fovea.client.errors import FoveaError, from_status
from fovea.client.parts import PartLike, part_of
from fovea.client.results import Detections, FacetCounts, SearchResults
from fovea.detector.v1 import detector_pb2
from fovea.detector.v1.detector_pb2_grpc import DetectorServiceStub
from fovea.encoder.v1 import encoder_pb2
from fovea.encoder.v1.encoder_pb2_grpc import EncoderServiceStub
from fovea.ingest.v1 import ingest_pb2
from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from fovea.search.v1 import search_pb2
from fovea.search.v1.search_pb2_grpc import SearchServiceStub

Answer = TypeVar("Answer")
Mode = Literal["whole_image", "objects"]
Query = Sequence[PartLike]
Outcome = SearchResults | FoveaError

MAX_INPUTS = 64
MAX_CALL_BYTES = 32 << 20
# As long as the ingest service keeps a stream open.
LONG_STREAM_S = 21_600.0
_MODES = {"whole_image": ingest_pb2.COLLECTION_MODE_WHOLE_IMAGE, "objects": ingest_pb2.COLLECTION_MODE_OBJECTS}


class SearchOptions(TypedDict, total=False):
    """The fields of a `SearchRequest` beside its parts, with the contract's defaults."""

    limit: int
    offset: int
    filter: str
    min_score: float
    exact: bool
    group_by_image: bool
    fold_copies: bool
    explain: bool
    group_near_duplicates: bool
    diversity: float
    facets: Sequence[str]
    relevance: bool


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One call with one answer or a stream of them; `encoder` is the bundle whose process it goes to, where it goes to an encoder or a detector."""

    stub: type
    method: str
    request: Any
    read: Callable[[Any], Answer]
    encoder: str = ""


def search(collection: str, parts: Query, options: SearchOptions, gateway: str) -> Call[SearchResults]:
    """One query."""
    request = search_pb2.SearchRequest(collection=collection, parts=map(part_of, parts), **options)
    return Call(
        SearchServiceStub,
        "Search",
        request,
        lambda response: SearchResults.of(response, collection=collection, gateway=gateway),
    )


def next_page(collection: str, page_token: str, gateway: str) -> Call[SearchResults]:
    """The next page of a query."""
    request = search_pb2.SearchRequest(collection=collection, page_token=page_token)
    return Call(
        SearchServiceStub,
        "Search",
        request,
        lambda response: SearchResults.of(response, collection=collection, gateway=gateway),
    )


def search_many(
    collection: str, queries: Sequence[Query], options: SearchOptions, gateway: str
) -> Call[tuple[Outcome, ...]]:
    """Up to 64 queries; one that fails has its error in its position."""

    def outcome(result: search_pb2.BatchSearchResult) -> Outcome:
        if result.WhichOneof("outcome") == "error":
            return from_status(result.error)
        return SearchResults.of(result.response, collection=collection, gateway=gateway)

    requests = [search_pb2.SearchRequest(parts=map(part_of, parts), **options) for parts in queries]
    request = search_pb2.BatchSearchRequest(collection=collection, queries=requests)
    return Call(
        SearchServiceStub,
        "BatchSearch",
        request,
        lambda response: tuple(outcome(result) for result in response.results),
    )


def count_facets(collection: str, fields: Sequence[str], filter: str) -> Call[FacetCounts]:
    """How often each value of these fields occurs."""
    request = search_pb2.CountFacetsRequest(collection=collection, fields=fields, filter=filter)
    return Call(SearchServiceStub, "CountFacets", request, FacetCounts.of)


def encode(
    contents: Sequence[str | ImageContent], encoder: str, *, sketches: bool
) -> Iterator[Call[encoder_pb2.EncodeResponse]]:
    """As few calls as the contract allows: 64 inputs and 32 MiB each. A text stands for words, not for a path."""
    inputs: list[encoder_pb2.Input] = []
    size = 0
    for content in contents:
        message = _input(content, sketches=sketches)
        if inputs and (len(inputs) == MAX_INPUTS or size + message.ByteSize() > MAX_CALL_BYTES):
            yield _encode_call(inputs, encoder)
            inputs, size = [], 0
        inputs.append(message)
        size += message.ByteSize()
    if inputs:
        yield _encode_call(inputs, encoder)


def detect(image: ImageContent, detector: str, *, min_score: float | None, limit: int) -> Call[Detections]:
    """The objects of one image."""
    request = detector_pb2.DetectRequest(detector=detector, image=image_bytes(image), min_score=min_score, limit=limit)
    return Call(DetectorServiceStub, "Detect", request, Detections.of, encoder=detector)


def create_collection(name: str, *, encoder: str, mode: Mode, detector: str, index: str) -> Call[CollectionInfo]:
    """A new collection."""
    collection = ingest_pb2.Collection(name=name, encoder=encoder, mode=_MODES[mode], detector=detector, index=index)
    request = ingest_pb2.CreateCollectionRequest(collection=collection)
    return Call(IngestServiceStub, "CreateCollection", request, lambda response: CollectionInfo.of(response.collection))


def collection(name: str) -> Call[CollectionInfo]:
    """One collection."""
    request = ingest_pb2.GetCollectionRequest(name=name)
    return Call(IngestServiceStub, "GetCollection", request, lambda response: CollectionInfo.of(response.collection))


def collections() -> Call[tuple[CollectionInfo, ...]]:
    """All collections."""
    return Call(
        IngestServiceStub,
        "ListCollections",
        ingest_pb2.ListCollectionsRequest(),
        lambda response: tuple(map(CollectionInfo.of, response.collections)),
    )


def update_collection(name: str, *, new_name: str, display_name: str | None) -> Call[CollectionInfo]:
    """Other names."""
    request = ingest_pb2.UpdateCollectionRequest(name=name, new_name=new_name, display_name=display_name)
    return Call(IngestServiceStub, "UpdateCollection", request, lambda response: CollectionInfo.of(response.collection))


def delete_collection(name: str) -> Call[None]:
    """A collection's end."""
    return Call(IngestServiceStub, "DeleteCollection", ingest_pb2.DeleteCollectionRequest(name=name), lambda _: None)


def image(collection: str, image_id: str, uri: str) -> Call[StoredImage]:
    """The record of one image, by its id or its uri."""
    key = {"image_id": image_id} if image_id else {"uri": uri}
    return Call(
        IngestServiceStub,
        "GetImage",
        ingest_pb2.GetImageRequest(collection=collection, **key),
        StoredImage.of,
    )


def page_of_images(
    collection: str,
    filter: str,
    page_size: int,
    page_token: str,
) -> Call[tuple[list[StoredImage], str]]:
    """One page of a collection's images, and the token of the next page."""
    request = ingest_pb2.ListImagesRequest(
        collection=collection, filter=filter, page_size=page_size, page_token=page_token
    )
    return Call(
        IngestServiceStub,
        "ListImages",
        request,
        lambda response: ([StoredImage.of(found) for found in response.images], response.next_page_token),
    )


def delete_images(
    collection: str,
    image_ids: Sequence[str],
    uris: Sequence[str],
    filter: str,
) -> Call[int]:
    """The end of images; how many there were."""
    request = ingest_pb2.DeleteImagesRequest(collection=collection, image_ids=image_ids, uris=uris, filter=filter)
    return Call(IngestServiceStub, "DeleteImages", request, lambda response: int(response.deleted_count))


def reindex(collection: str, encoder: str, *, drop_old: bool, rollback: bool) -> Call[ReindexProgress]:
    """A move to another encoder; a stream."""
    request = ingest_pb2.ReindexRequest(collection=collection, encoder=encoder, drop_old=drop_old, rollback=rollback)
    return Call(IngestServiceStub, "Reindex", request, ReindexProgress.of)


def scrub(collection: str, *, repair: bool) -> Call[ScrubProgress]:
    """A comparison of the stores; a stream."""
    request = ingest_pb2.ScrubRequest(collection=collection, repair=repair)
    return Call(IngestServiceStub, "Scrub", request, ScrubProgress.of)


def _encode_call(inputs: Sequence[encoder_pb2.Input], encoder: str) -> Call[encoder_pb2.EncodeResponse]:
    request = encoder_pb2.EncodeRequest(encoder=encoder, inputs=inputs)
    return Call(EncoderServiceStub, "Encode", request, lambda response: response, encoder=encoder)


def _input(content: str | ImageContent, *, sketches: bool) -> encoder_pb2.Input:
    if isinstance(content, str):
        return encoder_pb2.Input(text=content)
    data = image_bytes(content)
    return encoder_pb2.Input(sketch=data) if sketches else encoder_pb2.Input(image=data)
