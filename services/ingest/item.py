"""One picture on its way in: what the caller sent, what was read, and what became of it."""

from dataclasses import dataclass
from typing import Any

from rpc.errors import ServiceError
from services.stores.records import PutStatus

Metadata = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """What the caller sent; without an `image` it is read from the uri, without `metadata` the old ones stay.

    `keep`: bytes with no other home are kept.
    """

    uri: str
    image: bytes | None
    metadata: Metadata | None
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was read: its bytes look like a picture, and its name and size are known."""

    uri: str
    data: bytes
    sha256: str
    width_px: int
    height_px: int
    metadata: Metadata | None
    is_kept: bool = False  # among the uploads
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Added:
    """The picture is durable and findable, now or already."""

    uri: str
    image_id: str
    status: PutStatus
    region_count: int
    warnings: tuple[str, ...] = ()
    replaced_sha256: str = ""  # of other bytes that lived under the uri until now


@dataclass(frozen=True, slots=True)
class Failed:
    """The picture was not taken."""

    uri: str
    error: ServiceError


Outcome = Added | Failed
