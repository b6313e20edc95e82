"""What the stores keep: collections, images, regions."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from domain.box import WHOLE_IMAGE
from domain.detection import Detection
from domain.exif import NO_EXIF, Exif
from rpc.errors import Aborted, FailedPrecondition, InvalidArgument, ServiceError, Unavailable

Metadata = dict[str, Any]
Embeddings = npt.NDArray[np.float32]

FIRST_DECODER_REVISION = 1  # of records that do not name theirs
TO_BE_EMBEDDED = 0  # the decoder revision of a record whose rows are damaged: no ingest takes its image for unchanged

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_IMAGE_ID = re.compile(r"[0-9a-f]{32}")


class CollectionMode(StrEnum):
    """What a collection's rows stand for."""

    WHOLE_IMAGE = "WHOLE_IMAGE"
    OBJECTS = "OBJECTS"


@dataclass(frozen=True, slots=True)
class Collection:
    """A set of images that is searched together; a move to another encoder and a new name change its definition.

    `index` is a Milvus index type; empty on creation: chosen by size, from then on too, and then `index_by_size` says so.
    `generation` is new on each creation, so
    that what is left of a collection of the same name is never taken for this one. `stored_as` is its name in both stores
    where it is not `name`, since it was moved or is called otherwise by now. `display_name` is for people, empty for none.
    """

    name: str
    space: str
    encoder: str
    detector: str
    mode: CollectionMode
    index: str
    dimension: int
    create_time_s: float
    generation: str = ""
    stored_as: str = ""
    display_name: str = ""
    index_by_size: bool = False

    @property
    def store_name(self) -> str:
        """The name in both stores."""
        return self.stored_as or self.name


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of a collection can be found: of objects, `region_count` has no images without objects, which are apart."""

    image_count: int
    region_count: int
    without_objects_count: int = 0

    @property
    def row_count(self) -> int:
        """How many embeddings: an image without objects has one, too."""
        return self.region_count + self.without_objects_count


# The region of a row that stands for a whole image.
WHOLE_IMAGE_REGION = Detection(WHOLE_IMAGE, label="", score=0.0, class_id=0)


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image to put: `embeddings` is (R, D), one unit vector for each region; without `metadata` the old ones stay.

    `decoder_revision` names the decoder that made the pixels that were encoded, see encoders/images/decoding.py.
    """

    uri: str
    sha256: str
    width_px: int
    height_px: int
    metadata: Metadata | None
    regions: tuple[Detection, ...]
    embeddings: Embeddings
    decoder_revision: int = FIRST_DECODER_REVISION
    exif: Exif = NO_EXIF


@dataclass(frozen=True, slots=True)
class NewMetadata:
    """Other metadata or EXIF for the image that lives under `uri` with just these bytes; what is None stays, embeddings too."""

    uri: str
    sha256: str
    metadata: Metadata | None
    exif: Exif | None = None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """What is known about the live version of an image.

    One that `lacks_objects` has a single region in a collection of objects, itself.
    """

    image_id: str
    uri: str
    sha256: str
    version: int
    region_count: int
    width_px: int
    height_px: int
    metadata: Metadata
    update_time_s: float
    decoder_revision: int = FIRST_DECODER_REVISION
    exif: Exif = NO_EXIF
    lacks_objects: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """An image that may be written: its `record` lacks the version.

    `based_on` is the live version that its content was made from, 0 for none, None where any will do.
    """

    image: NewImage
    record: ImageRecord
    based_on: int | None = None


class Version(NamedTuple):
    """A version of an image, by which its rows are known."""

    image_id: str
    number: int
    region_count: int


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image with its regions and their embeddings (R, D)."""

    record: ImageRecord
    regions: tuple[Detection, ...]
    embeddings: Embeddings


class PutStatus(StrEnum):
    """How a put changed an image."""

    ADDED = "ADDED"
    UNCHANGED = "UNCHANGED"
    UPDATED = "UPDATED"


@dataclass(frozen=True, slots=True)
class PutResult:
    """The outcome for one image: a `status`, or the `error` that it alone met."""

    image_id: str
    status: PutStatus | None = None
    error: ServiceError | None = None
    region_count: int = 0

    @classmethod
    def busy(cls, image_id: str) -> "PutResult":
        """The result of a put that another one of the same image outran."""
        return cls(image_id, error=Aborted("another caller is writing this image; send it again"))


class SpaceChanged(FailedPrecondition):
    """The collection is of another space now: embed again with its encoder."""


class Sealed(Unavailable):
    """The collection takes no writes for a moment, because it is moving to another encoder."""

    def __init__(self) -> None:
        super().__init__("the collection is moving to another encoder; try again")


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """How many images there were, and the SHA-256 of their bytes."""

    image_count: int
    sha256s: frozenset[str]


def image_id_of(uri: str) -> str:
    """The identity of an image: the first 32 hex digits of the SHA-256 of its uri."""
    return hashlib.sha256(uri.encode()).hexdigest()[:32]


def is_image_id(text: str) -> bool:
    """Whether a text can be an image_id at all."""
    return _IMAGE_ID.fullmatch(text) is not None


def is_same_metadata(some: Metadata, other: Metadata) -> bool:
    """Whether metadata are the same as JSON, in any order of names: 1 is not true."""
    return orjson.dumps(some, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def check_collection_name(name: str) -> None:
    """InvalidArgument unless a collection may be called `name`."""
    if _NAME.fullmatch(name) is None:
        raise InvalidArgument("collection: a name has 1 to 63 characters a-z, 0-9 and _, and begins with a letter")
