"""What is wrong with one image: its rows in Milvus beside what Redis knows of it, both from one moment."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.stores.drafts import UNIT_TOLERANCE
from services.stores.milvus.rows import EMBEDDING, RECORD_FIELDS, Row, RowKey, record_of
from services.stores.records import ImageRecord, Version, image_id_of
from services.stores.redis.entries import format_tombstones
from services.stores.redis.scrubbing import ImageState

ROW_FIELDS = ("image_id", "version", "region", *RECORD_FIELDS, EMBEDDING)
_COMPARED = ("uri", "sha256", "region_count", "width_px", "height_px", "metadata")


class Damage(StrEnum):
    """What a scrub finds; docs/scrub.md says how each is repaired."""

    IMAGE_WITHOUT_RECORD = "image without record"
    RECORD_WITHOUT_ROWS = "record without rows"
    OTHER_VERSION = "record of another version"
    WRONG_RECORD = "record that differs from its rows"
    WRONG_ROW = "row that contradicts its key"
    ROW_TWICE = "row stored twice"
    BAD_EMBEDDING = "embedding that is not of unit length"
    STRAY_ROWS = "rows of no version"
    FORGOTTEN_DELETION = "deletion that Redis forgot"
    OLD_TOMBSTONE = "tombstone that was never removed"
    OLD_WRITE = "write that never ended"
    WRONG_COUNTS = "wrong counts"
    MISSING_FILE = "file that is gone"
    WRONG_FILE = "kept file with other bytes"


@dataclass(frozen=True, slots=True)
class ImageFault:
    """What is wrong, and what mends it: a record to let live, rows to delete, or to embed it again.

    `deleted_to`: the version up to which Milvus says that the image is deleted.
    """

    damage: Damage
    record: ImageRecord | None = None
    stray: tuple[Version, ...] = ()
    deleted_to: int = 0
    needs_embedding: bool = False

    @property
    def tombstones(self) -> str:
        """The tombstones of the stray rows."""
        return format_tombstones(self.stray, 0)


def diagnose(state: ImageState, rows: Sequence[Row]) -> ImageFault | None:
    """The first thing that is wrong with an image; None while it is written, and where nothing is.

    `rows` are all rows of the image, with ROW_FIELDS, each as often as it is stored.
    """
    if state.pending_version:
        return None
    versions, tombstones = _by_version(rows), state.known_tombstones
    deleted_to = max((version for version, found in versions.items() if _is_deletion(found)), default=0)
    if deleted_to > tombstones.deleted_to:
        return ImageFault(Damage.FORGOTTEN_DELETION, deleted_to=deleted_to)
    # What a tombstone names is being deleted, now or when its quarantine ends.
    ended = {version.number for version in tombstones.versions if version.region_count}
    left = {
        version: found
        for version, found in versions.items()
        if version > tombstones.deleted_to and version not in ended
    }
    best = left.get(max((version for version, found in left.items() if _is_complete(found)), default=0), [])
    if state.live:
        wrong = _of_live(state, left.get(state.live_version, []), best)
    else:
        wrong = _restored(Damage.IMAGE_WITHOUT_RECORD, state, best) if best else None
    if wrong:
        return wrong
    if stray := tuple(_version_of(found) for version, found in left.items() if version != state.live_version):
        return ImageFault(Damage.STRAY_ROWS, stray=stray)
    return None


def _of_live(state: ImageState, own: Sequence[Row], best: Sequence[Row]) -> ImageFault | None:
    """What is wrong with the live version, whose rows are `own`; `best` are those of the highest complete version."""
    record, is_whole = state.record, _is_complete(own)
    if best and _version_of(best).number != state.live_version:
        is_newer = _version_of(best).number > state.live_version
        if is_newer or (not is_whole and record is not None and best[0]["sha256"] == record.sha256):
            return _restored(Damage.OTHER_VERSION, state, best)
    if not is_whole:
        return ImageFault(Damage.RECORD_WITHOUT_ROWS, needs_embedding=True)
    if any(_contradicts_key(row) for row in own):
        return ImageFault(Damage.WRONG_ROW, needs_embedding=True)
    if record is None or any(_differs(record, record_of(row)) for row in own):
        return _restored(Damage.WRONG_RECORD, state, own)
    return _of_embeddings(own)


def _of_embeddings(own: Sequence[Row]) -> ImageFault | None:
    """What is wrong with the embeddings of a complete version."""
    embeddings: dict[str, set[bytes]] = defaultdict(set)
    for row in own:
        embedding = np.asarray(row[EMBEDDING], dtype=np.float32)
        # So that NaN counts as damage too.
        if not abs(float(np.linalg.norm(embedding.astype(np.float64))) - 1.0) <= UNIT_TOLERANCE:
            return ImageFault(Damage.BAD_EMBEDDING, needs_embedding=True)
        embeddings[row["key"]].add(embedding.tobytes())
    if len(embeddings) == len(own):
        return None
    # Which of two different ones is right, nobody knows.
    return ImageFault(Damage.ROW_TWICE, needs_embedding=any(len(each) > 1 for each in embeddings.values()))


def _restored(damage: Damage, state: ImageState, rows: Sequence[Row]) -> ImageFault:
    """A record made of its rows, if these can be right; else the image is to be embedded again, or its rows to be deleted."""
    record = record_of(rows[0])
    if image_id_of(record.uri) == state.image_id:
        return ImageFault(damage, record=record)
    if state.live:
        return ImageFault(Damage.WRONG_ROW, needs_embedding=True)
    return ImageFault(Damage.STRAY_ROWS, stray=(_version_of(rows),))


def _by_version(rows: Sequence[Row]) -> dict[int, list[Row]]:
    versions: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        versions[RowKey.parse(row["key"]).version].append(row)
    return versions


def _version_of(rows: Sequence[Row]) -> Version:
    """The version that rows are of; its region count reaches to the last of them."""
    keys = [RowKey.parse(row["key"]) for row in rows]
    return Version(keys[0].image_id, keys[0].version, 1 + max(key.region for key in keys))


def _is_deletion(rows: Sequence[Row]) -> bool:
    return any(row["region_count"] == 0 for row in rows)


def _is_complete(rows: Sequence[Row]) -> bool:
    """Whether all rows of a version are there, each once or more often."""
    return bool(rows) and len({row["key"] for row in rows}) == rows[0]["region_count"]


def _contradicts_key(row: Row) -> bool:
    key = RowKey.parse(row["key"])
    return (row["image_id"], row["version"], row["region"]) != (key.image_id, key.version, key.region)


def _differs(record: ImageRecord, other: ImageRecord) -> bool:
    return any(getattr(record, name) != getattr(other, name) for name in _COMPARED)
