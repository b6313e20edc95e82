"""How a live version is written in Redis: `version region_count fingerprint record`, the record as JSON."""

import hashlib

import orjson

from services.stores.records import FIRST_DECODER_REVISION, ImageRecord, Metadata

_RECORD_FIELDS = ("uri", "sha256", "width_px", "height_px", "metadata", "update_time_s", "decoder_revision")


def fingerprint_of(record: ImageRecord) -> str:
    """What tells whether an image changed: its bytes, its metadata, and how its bytes are decoded."""
    revision = [record.decoder_revision] if record.decoder_revision != FIRST_DECODER_REVISION else []
    content = orjson.dumps([record.sha256, record.metadata, *revision], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()[:32]


def is_same_metadata(some: Metadata, other: Metadata) -> bool:
    """Whether metadata are the same as JSON, in any order of names: 1 is not true."""
    return orjson.dumps(some, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def encode_record(record: ImageRecord) -> bytes:
    """A record as JSON, without what stands before it."""
    return orjson.dumps({name: getattr(record, name) for name in _RECORD_FIELDS})


def encode_entry(record: ImageRecord) -> bytes:
    """A live version."""
    return f"{record.version} {record.region_count} {fingerprint_of(record)} ".encode() + encode_record(record)


def decode_entry(image_id: str, entry: bytes) -> ImageRecord:
    """The record of a live version."""
    version, region_count, _, record = entry.split(b" ", 3)
    return ImageRecord(image_id=image_id, version=int(version), region_count=int(region_count), **orjson.loads(record))


def pending_sha256(entry: bytes) -> str:
    """The SHA-256 in the entry of a pending version, which ends with its lease and token."""
    _, _, _, rest = entry.split(b" ", 3)
    record, _, _ = rest.rsplit(b" ", 2)
    return str(orjson.loads(record)["sha256"])
