"""Collections and what they hold, as dataclasses, and the progress of the calls that go through all of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from google.protobuf.json_format import MessageToDict

from fovea.client.results import Detection
from fovea.ingest.v1 import ingest_pb2

_MODES = {ingest_pb2.COLLECTION_MODE_WHOLE_IMAGE: "whole_image", ingest_pb2.COLLECTION_MODE_OBJECTS: "objects"}


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection with its counts."""

    name: str
    space: str
    encoder: str
    detector: str
    mode: str
    """whole_image or objects."""
    index: str
    image_count: int
    region_count: int
    display_name: str = ""
    without_objects_count: int = 0
    """Of a collection of objects: images in which none was found, which are stored as a whole."""

    @classmethod
    def of(cls, message: ingest_pb2.Collection) -> Self:
        """From the wire."""
        return cls(
            name=message.name,
            space=message.space,
            encoder=message.encoder,
            detector=message.detector,
            mode=_MODES.get(message.mode, ""),
            index=message.index,
            image_count=message.image_count,
            region_count=message.region_count,
            display_name=message.display_name,
            without_objects_count=message.without_objects_count,
        )


@dataclass(frozen=True, slots=True)
class StoredImage:
    """The record of one image; `regions` are read for a single image only, not in listings."""

    image_id: str
    uri: str
    metadata: Mapping[str, Any]
    width_px: int
    height_px: int
    sha256: str
    update_time: datetime
    regions: tuple[Detection, ...] = ()

    @classmethod
    def of(cls, message: ingest_pb2.Image | ingest_pb2.GetImageResponse) -> Self:
        """From the wire."""
        regions = message.regions if isinstance(message, ingest_pb2.GetImageResponse) else ()
        return cls(
            image_id=message.image_id,
            uri=message.uri,
            metadata=MessageToDict(message.metadata),
            width_px=message.width_px,
            height_px=message.height_px,
            sha256=message.sha256,
            update_time=message.update_time.ToDatetime(UTC),
            regions=tuple(map(Detection.of, regions)),
        )


@dataclass(frozen=True, slots=True)
class ReindexProgress:
    """How far a collection has moved to another encoder; with a failed image the move fails in the end."""

    done_count: int
    total_count: int
    failed_count: int

    @classmethod
    def of(cls, message: ingest_pb2.ReindexResponse) -> Self:
        """From the wire."""
        return cls(message.done_count, message.total_count, message.failed_count)


@dataclass(frozen=True, slots=True)
class ScrubProgress:
    """How many images were checked, and what is wrong with one of them: `damage` is empty where this is progress alone."""

    checked_count: int
    total_count: int
    damage: str
    """For example "image without record"."""
    image_id: str
    """Empty where the damage is not that of one image."""
    repaired: bool
    detail: str
    """Why it was not repaired, or more about the damage."""

    @classmethod
    def of(cls, message: ingest_pb2.ScrubResponse) -> Self:
        """From the wire."""
        return cls(
            checked_count=message.checked_count,
            total_count=message.total_count,
            damage=message.damage,
            image_id=message.image_id,
            repaired=message.repaired,
            detail=message.detail,
        )
