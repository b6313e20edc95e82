"""How a live version is written in Redis: `version region_count fingerprint record`, the record as JSON."""

import hashlib

import orjson

from services.stores.records import ImageRecord, Metadata

_RECORD_FIELDS = ("uri", "sha256", "width_px", "height_px", "metadata", "update_time_s")


def fingerprint_of(sha256: str, metadata: Metadata) -> str:
    """What tells whether a picture changed: its bytes and its metadata."""
    content = orjson.dumps([sha256, metadata], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()[:32]


def encode_record(record: ImageRecord) -> bytes:
    """A record as JSON, without what stands before it."""
    return orjson.dumps({name: getattr(record, name) for name in _RECORD_FIELDS})


def encode_entry(record: ImageRecord) -> bytes:
    """A live version."""
    fingerprint = fingerprint_of(record.sha256, record.metadata)
    return f"{record.version} {record.region_count} {fingerprint} ".encode() + encode_record(record)


def decode_entry(image_id: str, entry: bytes) -> ImageRecord:
    """The record of a live version."""
    version, region_count, _, record = entry.split(b" ", 3)
    return ImageRecord(image_id=image_id, version=int(version), region_count=int(region_count), **orjson.loads(record))


def fingerprint_in(entry: bytes) -> str:
    """The fingerprint of a live version."""
    return entry.split(b" ", 3)[2].decode()
