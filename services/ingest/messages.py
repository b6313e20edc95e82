"""Messages of the ingest service to plain values and back."""

from collections.abc import Mapping

from google.protobuf import timestamp_pb2

from domain.limits import MAX_URI_BYTES
from fovea.ingest.v1 import ingest_pb2
from rpc.errors import InvalidArgument, to_status
from rpc.messages import detection_message
from rpc.metadata import metadata_of, struct_of
from services.ingest.collections import NewCollection
from services.ingest.item import Failed, Item, Outcome
from services.stores.records import (
    Collection,
    CollectionMode,
    Counts,
    ImageRecord,
    PutStatus,
    StoredImage,
    image_id_of,
)

_MODES = {
    ingest_pb2.COLLECTION_MODE_UNSPECIFIED: CollectionMode.WHOLE_IMAGE,
    ingest_pb2.COLLECTION_MODE_WHOLE_IMAGE: CollectionMode.WHOLE_IMAGE,
    ingest_pb2.COLLECTION_MODE_OBJECTS: CollectionMode.OBJECTS,
}
_MODE_NUMBERS: Mapping[CollectionMode, ingest_pb2.CollectionMode.ValueType] = {
    CollectionMode.WHOLE_IMAGE: ingest_pb2.COLLECTION_MODE_WHOLE_IMAGE,
    CollectionMode.OBJECTS: ingest_pb2.COLLECTION_MODE_OBJECTS,
}
_STATUSES: Mapping[PutStatus, ingest_pb2.IngestStatus.ValueType] = {
    PutStatus.ADDED: ingest_pb2.INGEST_STATUS_ADDED,
    PutStatus.UNCHANGED: ingest_pb2.INGEST_STATUS_UNCHANGED,
    PutStatus.UPDATED: ingest_pb2.INGEST_STATUS_UPDATED,
}


def new_collection_of(message: ingest_pb2.Collection) -> NewCollection:
    """What the caller wants; InvalidArgument for a mode that does not exist."""
    if message.mode not in _MODES:
        raise InvalidArgument(f"collection.mode: {message.mode} is not a mode")
    return NewCollection(message.name, message.encoder, message.detector, _MODES[message.mode], message.index)


def collection_message(collection: Collection, counts: Counts | None) -> ingest_pb2.Collection:
    """A collection with its counts, None where they are unknown."""
    known = counts or Counts(0, 0)
    return ingest_pb2.Collection(
        name=collection.name,
        space=collection.space,
        encoder=collection.encoder,
        detector=collection.detector,
        mode=_MODE_NUMBERS[collection.mode],
        index=collection.index,
        image_count=known.image_count,
        region_count=known.region_count,
        create_time=_timestamp(collection.create_time_s),
        counts_unknown=counts is None,
    )


def item_of(message: ingest_pb2.Item) -> Item:
    """The item; InvalidArgument for a uri or metadata that cannot be kept."""
    image = message.image if message.HasField("image") else None
    if not message.uri and image is None:
        raise InvalidArgument("item: it needs a uri, an image or both")
    check_uri("item.uri", message.uri)
    metadata = metadata_of(message.metadata, name="item.metadata") if message.HasField("metadata") else None
    keep = message.keep or not message.HasField("keep")
    return Item(message.uri, image, metadata, keep=keep)


def check_uri(field: str, uri: str) -> None:
    """Refuses uris that are too long or hold NUL."""
    if len(uri.encode()) > MAX_URI_BYTES:
        raise InvalidArgument(f"{field}: it is longer than {MAX_URI_BYTES:,} bytes")
    if "\0" in uri:
        raise InvalidArgument(f"{field}: it must not contain a NUL character")


def outcome_message(outcome: Outcome) -> ingest_pb2.IngestResponse:
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
        status=_STATUSES[outcome.status],
        region_count=outcome.region_count,
        warnings=outcome.warnings,
    )


def stored_image_message(image: StoredImage, mode: CollectionMode) -> ingest_pb2.GetImageResponse:
    """A picture with its regions, which only objects collections have."""
    record = image.record
    regions = image.regions if mode is CollectionMode.OBJECTS else ()
    return ingest_pb2.GetImageResponse(
        image_id=record.image_id,
        uri=record.uri,
        metadata=struct_of(record.metadata),
        width_px=record.width_px,
        height_px=record.height_px,
        regions=[detection_message(region.detection) for region in regions],
        sha256=record.sha256,
        update_time=_timestamp(record.update_time_s),
    )


def image_message(record: ImageRecord) -> ingest_pb2.Image:
    """A picture in a listing."""
    return ingest_pb2.Image(
        image_id=record.image_id,
        uri=record.uri,
        metadata=struct_of(record.metadata),
        width_px=record.width_px,
        height_px=record.height_px,
        sha256=record.sha256,
        update_time=_timestamp(record.update_time_s),
    )


def _timestamp(time_s: float) -> timestamp_pb2.Timestamp:
    message = timestamp_pb2.Timestamp()
    message.FromNanoseconds(round(time_s * 1_000_000) * 1_000)
    return message
