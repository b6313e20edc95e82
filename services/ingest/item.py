"""One item of an ingest stream: what the caller sent, the image that was loaded, and the outcome."""

from dataclasses import dataclass

from domain.exif import NO_EXIF, Exif
from rpc.errors import ServiceError
from rpc.metadata import Metadata
from services.stores.records import PutStatus


@dataclass(frozen=True, slots=True)
class Item:
    """What the caller sent: without `image` it is read from the uri, without `metadata` the stored ones stay.

    `keep`: bytes that cannot be read again from the uri are kept as an upload.
    """

    uri: str
    image: bytes | None
    metadata: Metadata | None
    keep: bool = True


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image whose bytes are in memory and whose header was read; `is_upload`: they are kept among the uploads."""

    uri: str
    data: bytes
    sha256: str
    width_px: int
    height_px: int
    metadata: Metadata | None
    is_upload: bool = False
    warnings: tuple[str, ...] = ()
    exif: Exif = NO_EXIF


@dataclass(frozen=True, slots=True)
class Added:
    """The image is durable and findable; `replaced_sha256` is of other bytes that had the uri until now.

    `object_count` is how many objects were found in it, None where none were looked for.
    """

    uri: str
    image_id: str
    status: PutStatus
    region_count: int
    warnings: tuple[str, ...] = ()
    replaced_sha256: str = ""
    object_count: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The item was not ingested."""

    uri: str
    error: ServiceError


IngestOutcome = Added | Failed
