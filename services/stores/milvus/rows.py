"""A row of Milvus: one region of one version of an image, with all that it takes to rebuild Redis."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
from pymilvus import CollectionSchema, DataType, FieldSchema

from domain.detection import Detection
from domain.exif import NO_EXIF, Exif
from domain.limits import MAX_LABEL_BYTES, MAX_URI_BYTES
from services.stores.filters.expression import EXIF_KEY, OWN_KEY, exif_column, kinds_of
from services.stores.records import (
    FIRST_DECODER_REVISION,
    WHOLE_IMAGE_REGION,
    Collection,
    CollectionMode,
    Embeddings,
    ImageRecord,
    NewImage,
    StoredImage,
)

EMBEDDING = "embedding"
_EDGES = ("x_min", "y_min", "x_max", "y_max")
REGION_FIELDS = ("label", "score", "class_id", *_EDGES)
RECORD_FIELDS = ("uri", "sha256", "region_count", "width_px", "height_px", "metadata", "kinds", "update_time_s")

# The description of the embeddings' field where the index is chosen by size. Not a part of the definition, because earlier
# releases do not know a definition with more in it; they keep the index that they find.
_BY_SIZE = "index by size"
_DECODER_REVISION, _LACKS_OBJECTS = "decoder", "lacks_objects"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowKey:
    """The identity of a row: a version is never written twice, so its rows are never overwritten."""

    image_id: str
    version: int
    region: int

    def __str__(self) -> str:
        return f"{self.image_id}-{self.version}-{self.region}"

    @classmethod
    def parse(cls, text: str) -> "RowKey":
        """The key that was written as `text`."""
        image_id, version, region = text.split("-")
        return cls(image_id, int(version), int(region))


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A row near a query: its cosine, and the fields that were asked for."""

    key: RowKey
    score: float
    fields: Row


class RowSearch(NamedTuple):
    """Which rows are searched, the most of them for each embedding, and whether all are compared with it."""

    expression: str
    limit: int
    exact: bool = False


def row_keys(image_id: str, version: int, region_count: int) -> list[str]:
    """The keys of all rows of one version."""
    return [str(RowKey(image_id, version, region)) for region in range(region_count)]


def listed(values: Iterable[str]) -> str:
    """Keys and hashes, which need no escapes, as the items of a list in an expression."""
    return ", ".join(f"'{value}'" for value in values)


def distinct(rows: Iterable[Row]) -> list[Row]:
    """Each row once."""
    return list({row["key"]: row for row in rows}.values())


def schema_of(collection: Collection) -> CollectionSchema:
    """The fields of a collection, and its definition as description. Numbers are doubles where a filter compares them."""
    lengths = {"image_id": 32, "uri": MAX_URI_BYTES, "sha256": 64, "label": MAX_LABEL_BYTES}
    fields = [
        FieldSchema("key", DataType.VARCHAR, is_primary=True, max_length=80),
        *(FieldSchema(name, DataType.VARCHAR, max_length=length) for name, length in lengths.items()),
        *(FieldSchema(name, DataType.INT64) for name in ("version", "region", "region_count", "class_id")),
        *(FieldSchema(name, DataType.DOUBLE) for name in ("score", *_EDGES, "width_px", "height_px", "update_time_s")),
        *(FieldSchema(name, DataType.JSON) for name in ("metadata", "kinds")),
        FieldSchema(
            EMBEDDING,
            DataType.FLOAT_VECTOR,
            dim=collection.dimension,
            description=_BY_SIZE if collection.index_by_size else "",
        ),
    ]
    definition = asdict(collection)
    del definition["display_name"]  # a label has it, see names.py
    del definition["index_by_size"]
    if not collection.stored_as:
        del definition["stored_as"]  # as earlier releases wrote and read it
    return CollectionSchema(fields, description=orjson.dumps(definition).decode(), enable_dynamic_field=False)


def definition_in(described: Mapping[str, Any]) -> Collection | None:
    """The collection that Milvus describes, None for that of another application."""
    with contextlib.suppress(TypeError, KeyError, ValueError):
        fields = orjson.loads(described["description"])
        by_size = any(field["description"] == _BY_SIZE for field in described["fields"])
        return Collection(**{**fields, "mode": CollectionMode(fields["mode"]), "index_by_size": by_size})
    return None


def rows_of(record: ImageRecord, image: NewImage | StoredImage) -> list[Row]:
    """The rows of a version, one for each region."""
    keys = row_keys(record.image_id, record.version, record.region_count)
    columns = _record_columns(record)
    return [
        {"key": key, "region": number, EMBEDDING: embedding, **_region_columns(region), **columns}
        for number, (key, region, embedding) in enumerate(zip(keys, image.regions, image.embeddings, strict=True))
    ]


def deletion_row(image_id: str, version: int, dimension: int) -> Row:
    """The row that says that an image is deleted up to a version: one without regions, near to nothing.

    Readers leave it out like any other version that does not live; a rebuild of Redis obeys it.
    """
    return {
        "key": str(RowKey(image_id, version, 0)),
        "region": 0,
        EMBEDDING: np.zeros(dimension, dtype=np.float32),
        **_region_columns(WHOLE_IMAGE_REGION),
        **_record_columns(ImageRecord(image_id, "", "", version, 0, 0, 0, {}, 0.0)),
    }


def record_of(row: Row) -> ImageRecord:
    """The record that a row carries; it needs `key` and RECORD_FIELDS."""
    key, own = RowKey.parse(row["key"]), row["kinds"].get(OWN_KEY)
    # Before EXIF was kept, the revision stood alone; before that, metadata of any kind may stand there.
    own = own if isinstance(own, dict) else {_DECODER_REVISION: own}
    revision, exif = own.get(_DECODER_REVISION), own.get(EXIF_KEY)
    return ImageRecord(
        image_id=key.image_id,
        uri=row["uri"],
        sha256=row["sha256"],
        version=key.version,
        region_count=row["region_count"],
        width_px=int(row["width_px"]),
        height_px=int(row["height_px"]),
        metadata=row["metadata"],
        update_time_s=row["update_time_s"],
        decoder_revision=revision if isinstance(revision, int) else FIRST_DECODER_REVISION,
        exif=Exif.of(exif) if isinstance(exif, dict) else NO_EXIF,
        lacks_objects=own.get(_LACKS_OBJECTS) is True,
    )


def region_of(row: Row) -> Detection:
    """The region that a row stands for; it needs REGION_FIELDS."""
    if row["x_max"] <= row["x_min"]:
        return WHOLE_IMAGE_REGION
    x_min, y_min, x_max, y_max = (row[edge] for edge in _EDGES)
    return Detection((x_min, y_min, x_max, y_max), row["label"], row["score"], row["class_id"])


def stored_image(record: ImageRecord, rows: Iterable[Row]) -> StoredImage:
    """An image from its rows in any order."""
    ordered: Sequence[Row] = sorted(rows, key=lambda row: RowKey.parse(row["key"]).region)
    embeddings: Embeddings = np.array([row[EMBEDDING] for row in ordered], dtype=np.float32)
    return StoredImage(record, tuple(region_of(row) for row in ordered), embeddings)


def _record_columns(record: ImageRecord) -> Row:
    return {
        "image_id": record.image_id,
        "uri": record.uri,
        "sha256": record.sha256,
        "version": record.version,
        "region_count": record.region_count,
        "width_px": float(record.width_px),
        "height_px": float(record.height_px),
        "update_time_s": record.update_time_s,
        "metadata": record.metadata,
        "kinds": {OWN_KEY: _own_column(record), **kinds_of(record.metadata)},
    }


def _own_column(record: ImageRecord) -> Any:
    """What is neither metadata nor a column: collections of earlier releases cannot be given more columns."""
    lacks_objects = {_LACKS_OBJECTS: True} if record.lacks_objects else {}
    if not record.exif.known and not lacks_objects:
        return record.decoder_revision
    return {_DECODER_REVISION: record.decoder_revision, **lacks_objects, **exif_column(record.exif)}


def _region_columns(region: Detection) -> Row:
    """A region as columns; a whole image has an empty box."""
    edges = zip(_EDGES, (0.0,) * 4 if region == WHOLE_IMAGE_REGION else region.box, strict=True)
    return {"label": region.label, "score": region.score, "class_id": region.class_id, **dict(edges)}
