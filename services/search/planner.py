"""Planning: each part of a query becomes embeddings that are known already, or an input for an encoder."""

from dataclasses import dataclass, replace

from domain.calibration import Calibration
from domain.detection import Detection
from domain.limits import MAX_QUERY_OBJECTS
from domain.modality import Modality
from rpc.clients import Input
from rpc.deadline import Deadline
from rpc.directory import EncoderDirectory, EncoderEntry
from rpc.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from services.search.fusion import Embeddings, parse_embedding
from services.search.query import EncoderCall, PartTerm, QueryPart
from services.stores.images import ImageStore
from services.stores.records import Collection, CollectionMode
from sources.errors import SourceError
from sources.web import WebImages


@dataclass(frozen=True, slots=True)
class QueryEmbeddings:
    """A query or one of its parts as embeddings `(R, D)`, one row for each region or a single row.

    `terms` are those of a query that explains its scores; `calls` are those that its encoders needed. `calibration` says what
    its scores mean, if that is known.
    """

    embeddings: Embeddings
    regions: tuple[Detection, ...] = ()
    warnings: tuple[str, ...] = ()
    terms: tuple[PartTerm, ...] = ()
    calls: tuple[EncoderCall, ...] = ()
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class EncodedPart:
    """A part that is still to be encoded: an input with one embedding for each region, or a single one."""

    encoder: EncoderEntry
    input: Input
    regions: tuple[Detection, ...] = ()
    warnings: tuple[str, ...] = ()


PlannedPart = QueryEmbeddings | EncodedPart


class PartPlanner:
    """Plans the parts of queries; calls the store, the directory and the detector, but no encoder."""

    def __init__(self, directory: EncoderDirectory, store: ImageStore, web: WebImages | None = None) -> None:
        self._directory = directory
        self._store = store
        self._web = web

    async def plan(self, collection: Collection, part: QueryPart, deadline: Deadline) -> PlannedPart:
        """Raises a ServiceError, which names the part's field if the caller is at fault."""
        if part.kind == "image_url":
            part = replace(part, kind="image", content=await self._fetched(part))
        match part.kind, part.content:
            case "embedding", bytes(data):
                return replace(_known_embedding(collection, part, data), calibration=await self._of_images(collection))
            case "image_id", str(image_id):
                return await self._stored_image(collection, part, image_id)
            case "image", bytes(image) if part.detect:
                return await self._detected(collection, part, image, deadline)
            case "image", bytes(image):
                encoder = await self._image_encoder(collection)
                boxes = part.regions or (() if part.region is None else (part.region,))
                regions = tuple(Detection(box, label="", score=0.0, class_id=0) for box in part.regions)
                return EncodedPart(encoder, Input(image, "image", boxes), regions)
            case ("text" | "sketch") as modality, content:
                encoder = await self._encoder_of(collection, part, modality)
                return EncodedPart(encoder, Input(content, modality))
        raise AssertionError(f"a part of kind {part.kind} cannot hold {type(part.content)}")

    async def _fetched(self, part: QueryPart) -> bytes:
        if self._web is None:
            raise part.fault("image_url", "fetching URLs is switched off; send the image's bytes instead")
        try:
            return await self._web.fetch(str(part.content))
        except SourceError as error:
            raise part.fault("image_url", str(error)) from error

    async def _stored_image(self, collection: Collection, part: QueryPart, image_id: str) -> QueryEmbeddings:
        try:
            stored = await self._store.image(collection.name, image_id, space=collection.space)
        except NotFound as error:
            message = f"{part.name}.image_id: collection {collection.name!r} has no image {image_id[:64]!r}"
            raise NotFound(message) from error
        regions = stored.regions if collection.mode is CollectionMode.OBJECTS else ()
        return QueryEmbeddings(stored.embeddings, regions, calibration=await self._of_images(collection))

    async def _of_images(self, collection: Collection) -> Calibration | None:
        """The calibration of queries by images, as far as it is known: an encoder that is away is not waited for."""
        of_space = [entry.info for entry in await self._directory.encoders() if entry.info.space == collection.space]
        return next((info.calibration for info in of_space if "image" in info.modalities), None)

    async def _image_encoder(self, collection: Collection) -> EncoderEntry:
        try:
            return await self._directory.checked(collection.encoder, collection.space)
        except NotFound as error:
            raise Unavailable(
                f"encoder {collection.encoder!r} of collection {collection.name!r} is not served; start it"
            ) from error

    async def _encoder_of(self, collection: Collection, part: QueryPart, modality: Modality) -> EncoderEntry:
        encoder = await self._directory.for_space(collection.space, modality)
        if encoder is not None:
            return encoder
        served = await self._directory.in_space(collection.space)
        kinds = [*sorted({str(kind) for encoder in served for kind in encoder.info.modalities}), "image_id"]
        message = f"collection {collection.name!r} can be searched by {', '.join(kinds)} or embedding only"
        raise part.fault(modality, message)

    async def _detected(self, collection: Collection, part: QueryPart, image: bytes, deadline: Deadline) -> EncodedPart:
        encoder = await self._image_encoder(collection)
        try:
            detector = await self._directory.detector(collection.detector)
            # The stores compare a query once for each region, so only the detections with the best scores are used.
            found = await detector.client.detect(
                image, detector=detector.info.name, limit=MAX_QUERY_OBJECTS, deadline=deadline
            )
        except NotFound as error:
            raise FailedPrecondition(f"{part.name}.detect: {error.message}") from error
        except InvalidArgument as error:
            raise part.fault("image", error.message, reason=error.reason) from error
        if not found.detections:
            warnings = (*found.warnings, "no object was found, the whole image is used")
            return EncodedPart(encoder, Input(image), warnings=warnings)
        boxes = tuple(detection.box for detection in found.detections)
        return EncodedPart(encoder, Input(image, "image", boxes), found.detections, found.warnings)


def _known_embedding(collection: Collection, part: QueryPart, data: bytes) -> QueryEmbeddings:
    try:
        return QueryEmbeddings(parse_embedding(data, collection.dimension))
    except ValueError as error:
        raise part.fault("embedding", str(error)) from error
