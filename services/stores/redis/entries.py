"""How a version is written in Redis: `version region_count fingerprint record`, and tombstones: see scripts.py."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from domain.exif import Exif
from services.stores.records import FIRST_DECODER_REVISION, ImageRecord, Version
from services.stores.redis.scripts import QUARANTINE_S

_RECORD_FIELDS = ("uri", "sha256", "width_px", "height_px", "metadata", "update_time_s", "decoder_revision")


def fingerprint_of(record: ImageRecord) -> str:
    """A hash of what makes a new version: the bytes, the metadata, how the bytes are decoded, and what is kept of EXIF."""
    # Without the first revision and without absent EXIF, so that the fingerprints of releases that knew neither hold.
    revision = [record.decoder_revision] if record.decoder_revision != FIRST_DECODER_REVISION else []
    exif = [record.exif.known] if record.exif.known else []
    content = orjson.dumps([record.sha256, record.metadata, *revision, *exif], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()[:32]


def encode_record(record: ImageRecord) -> bytes:
    """A record as JSON, without what stands before it."""
    # First, where the scripts look for it and no metadata can stand.
    lacks_objects = {"lacks_objects": True} if record.lacks_objects else {}
    exif = {"exif": record.exif.known} if record.exif.known else {}
    return orjson.dumps(lacks_objects | {name: getattr(record, name) for name in _RECORD_FIELDS} | exif)


def encode_entry(record: ImageRecord) -> bytes:
    """A live version."""
    return f"{record.version} {record.region_count} {fingerprint_of(record)} ".encode() + encode_record(record)


def decode_entry(image_id: str, entry: bytes) -> ImageRecord:
    """The record of a live version."""
    version, region_count, _, text = entry.split(b" ", 3)
    fields = orjson.loads(text)
    exif = Exif.of(fields.pop("exif", {}))
    return ImageRecord(image_id=image_id, version=int(version), region_count=int(region_count), exif=exif, **fields)


def pending_sha256(entry: bytes) -> str:
    """The SHA-256 in the entry of a pending version, which ends with its lease and token."""
    _, _, _, rest = entry.split(b" ", 3)
    record, _, _ = rest.rsplit(b" ", 2)
    return str(orjson.loads(record)["sha256"])


@dataclass(frozen=True, slots=True)
class Tombstones:
    """Tombstones of an image, as Redis keeps them: "version:region_count[:until_ms],..."."""

    image_id: str
    text: str

    @property
    def versions(self) -> list[Version]:
        """The versions that they name."""
        numbers = (each.split(":") for each in self.text.split(",") if each)
        return [Version(self.image_id, int(number), int(region_count)) for number, region_count, *_ in numbers]

    @property
    def deleted_to(self) -> int:
        """The version up to which all rows are to be deleted, known or not; 0 where no deletion is among them."""
        return max((version.number for version in self.versions if version.region_count == 0), default=0)


def format_tombstones(written: Iterable[Version], deleted_to: int) -> str:
    """The tombstones of versions whose rows are all written, and of a deletion, 0 for none."""
    texts = [f"{version.number}:{version.region_count}" for version in written]
    deletion = [f"{deleted_to}:0:{deleted_to + 1000 * QUARANTINE_S}"] if deleted_to else []
    return ",".join(texts + deletion)
