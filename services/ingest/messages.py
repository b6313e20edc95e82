"""Messages of the ingest service to plain values and back."""

from typing import Any

from domain.uri import uri_fault
from fovea.ingest.v1 import ingest_pb2
from rpc.errors import InvalidArgument, ServiceError, to_status
from rpc.messages import detection_message, exif_message
from rpc.metadata import metadata_of, struct_of
from rpc.timestamps import timestamp_message
from services.ingest.item import Failed, IngestOutcome, Item
from services.ingest.scrubbing import ScrubProgress
from services.stores.records import Collection, CollectionMode, Counts, ImageRecord, StoredImage, image_id_of
from services.stores.scrubbing import Finding


def mode_of(message: ingest_pb2.Collection) -> CollectionMode:
    """The mode of a collection, whole images unless specified; InvalidArgument for an unknown number."""
    if message.mode == ingest_pb2.COLLECTION_MODE_UNSPECIFIED:
        return CollectionMode.WHOLE_IMAGE
    try:
        return CollectionMode(ingest_pb2.CollectionMode.Name(message.mode).removeprefix("COLLECTION_MODE_"))
    except ValueError as error:
        raise InvalidArgument(f"collection.mode: {message.mode} is not a mode") from error


def collection_message(
    collection: Collection, counts: Counts | None, *, suggested_encoder: str = ""
) -> ingest_pb2.Collection:
    """A collection with its counts, None if they are unknown."""
    known = counts or Counts(0, 0)
    return ingest_pb2.Collection(
        name=collection.name,
        space=collection.space,
        encoder=collection.encoder,
        detector=collection.detector,
        mode=ingest_pb2.CollectionMode.Value(f"COLLECTION_MODE_{collection.mode}"),
        index=collection.index,
        image_count=known.image_count,
        region_count=known.region_count,
        without_objects_count=known.without_objects_count,
        create_time=timestamp_message(collection.create_time_s),
        counts_unknown=counts is None,
        display_name=collection.display_name,
        suggested_encoder=suggested_encoder,
    )


def item_or_failure(request: ingest_pb2.IngestRequest, collection: str) -> Item | Failed:
    """The item of a stream's message; a message that cannot be used is a failed item."""
    try:
        if request.collection not in ("", collection):
            raise InvalidArgument(f"collection: this stream fills {collection!r}; open another one for another")
        if not request.HasField("item"):
            raise InvalidArgument("item: it is missing in the message")
        return item_of(request.item)
    except ServiceError as error:
        return Failed(request.item.uri, error)


def item_of(message: ingest_pb2.Item) -> Item:
    """The item; InvalidArgument for a uri or metadata that cannot be stored."""
    image = message.image if message.HasField("image") else None
    if not message.uri and image is None:
        raise InvalidArgument("item: it needs a uri, an image or both")
    if message.uri and (fault := uri_fault(message.uri)):
        raise InvalidArgument(f"item.uri: it {fault}")
    metadata = metadata_of(message.metadata, name="item.metadata") if message.HasField("metadata") else None
    return Item(message.uri, image, metadata, keep=message.keep or not message.HasField("keep"))


def outcome_message(outcome: IngestOutcome) -> ingest_pb2.IngestResponse:
    """The answer to one item."""
    if isinstance(outcome, Failed):
        return ingest_pb2.IngestResponse(
            uri=outcome.uri,
            image_id=image_id_of(outcome.uri) if outcome.uri else "",
            status=ingest_pb2.INGEST_STATUS_FAILED,
            error=to_status(outcome.error),
        )
    return ingest_pb2.IngestResponse(
        uri=outcome.uri,
        image_id=outcome.image_id,
        status=ingest_pb2.IngestStatus.Value(f"INGEST_STATUS_{outcome.status}"),
        region_count=outcome.region_count,
        warnings=outcome.warnings,
        object_count=outcome.object_count,
    )


def scrub_message(news: Finding | ScrubProgress) -> ingest_pb2.ScrubResponse:
    """One damaged image, or how far a scrub is."""
    if isinstance(news, ScrubProgress):
        return ingest_pb2.ScrubResponse(checked_count=news.checked_count, total_count=news.total_count)
    return ingest_pb2.ScrubResponse(
        image_id=news.image_id, damage=news.damage, repaired=news.repaired, detail=news.detail
    )


def stored_image_message(image: StoredImage, mode: CollectionMode) -> ingest_pb2.GetImageResponse:
    """An image with its regions; only collections of objects have regions."""
    regions = image.regions if mode is CollectionMode.OBJECTS else ()
    return ingest_pb2.GetImageResponse(**_record_fields(image.record), regions=[*map(detection_message, regions)])


def image_message(record: ImageRecord) -> ingest_pb2.Image:
    """An image in a listing."""
    return ingest_pb2.Image(**_record_fields(record))


def _record_fields(record: ImageRecord) -> dict[str, Any]:
    return {
        "image_id": record.image_id,
        "uri": record.uri,
        "metadata": struct_of(record.metadata),
        "width_px": record.width_px,
        "height_px": record.height_px,
        "sha256": record.sha256,
        "update_time": timestamp_message(record.update_time_s),
        "exif": exif_message(record.exif),
    }
