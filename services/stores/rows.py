"""A row of Milvus: one region of one version of a picture, with all that it takes to rebuild Redis."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymilvus import CollectionSchema, DataType, FieldSchema

from domain.limits import MAX_LABEL_BYTES, MAX_URI_BYTES
from services.stores.expression import kinds_of
from services.stores.records import (
    FIRST_DECODER_REVISION,
    WHOLE_PICTURE,
    Embeddings,
    ImageRecord,
    NewImage,
    Region,
    StoredImage,
)

EMBEDDING = "embedding"
REGION_FIELDS = ("label", "score", "class_id", "x_min", "y_min", "x_max", "y_max")
RECORD_FIELDS = ("uri", "sha256", "region_count", "width_px", "height_px", "metadata", "kinds", "update_time_s")

# A number among the kinds, which are texts: collections that were made before have no field for it. Metadata that use
# the name hide it, so that a rebuilt image counts as one of an old decoder.
_DECODER_REVISION = "="


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


def version_keys(image_id: str, version: int, region_count: int) -> list[str]:
    """The keys of all rows of one version."""
    return [str(RowKey(image_id, version, region)) for region in range(region_count)]


def schema_of(dimension: int, description: str) -> CollectionSchema:
    """The fields of a collection. Numbers are doubles, so that a filter compares them with any number."""
    fields = [
        FieldSchema("key", DataType.VARCHAR, is_primary=True, max_length=80),
        FieldSchema("image_id", DataType.VARCHAR, max_length=32),
        FieldSchema("uri", DataType.VARCHAR, max_length=MAX_URI_BYTES),
        FieldSchema("sha256", DataType.VARCHAR, max_length=64),
        FieldSchema("version", DataType.INT64),
        FieldSchema("region", DataType.INT64),
        FieldSchema("region_count", DataType.INT64),
        FieldSchema("label", DataType.VARCHAR, max_length=MAX_LABEL_BYTES),
        FieldSchema("score", DataType.DOUBLE),
        FieldSchema("class_id", DataType.INT64),
        *(FieldSchema(edge, DataType.DOUBLE) for edge in ("x_min", "y_min", "x_max", "y_max")),
        FieldSchema("width_px", DataType.DOUBLE),
        FieldSchema("height_px", DataType.DOUBLE),
        FieldSchema("update_time_s", DataType.DOUBLE),
        FieldSchema("metadata", DataType.JSON),
        FieldSchema("kinds", DataType.JSON),
        FieldSchema(EMBEDDING, DataType.FLOAT_VECTOR, dim=dimension),
    ]
    return CollectionSchema(fields, description=description, enable_dynamic_field=False)


def rows_of(record: ImageRecord, image: NewImage) -> list[dict[str, Any]]:
    """The rows of a version, one a region."""
    shared = {
        "image_id": record.image_id,
        "uri": record.uri,
        "sha256": record.sha256,
        "version": record.version,
        "region_count": record.region_count,
        "width_px": float(record.width_px),
        "height_px": float(record.height_px),
        "update_time_s": record.update_time_s,
        "metadata": record.metadata,
        "kinds": {_DECODER_REVISION: record.decoder_revision, **kinds_of(record.metadata)},
    }
    keys = version_keys(record.image_id, record.version, record.region_count)
    return [
        {"key": key, "region": number, EMBEDDING: embedding, **_region_fields(region), **shared}
        for number, (key, region, embedding) in enumerate(zip(keys, image.regions, image.embeddings, strict=True))
    ]


def deletion_row(image_id: str, version: int, dimension: int) -> dict[str, Any]:
    """The row that says that an image is deleted up to a version: one without regions, near to nothing.

    Whoever reads rows leaves it out like any other version that does not live; a rebuild of Redis obeys it.
    """
    return {
        "key": str(RowKey(image_id, version, 0)),
        "image_id": image_id,
        "uri": "",
        "sha256": "",
        "version": version,
        "region": 0,
        "region_count": 0,
        **_region_fields(WHOLE_PICTURE),
        "width_px": 0.0,
        "height_px": 0.0,
        "update_time_s": 0.0,
        "metadata": {},
        "kinds": {},
        EMBEDDING: np.zeros(dimension, dtype=np.float32),
    }


def record_of(row: dict[str, Any]) -> ImageRecord:
    """The record that a row carries; it needs `key` and RECORD_FIELDS."""
    key = RowKey.parse(row["key"])
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
        decoder_revision=_decoder_revision_in(row["kinds"]),
    )


def _decoder_revision_in(kinds: dict[str, Any]) -> int:
    revision = kinds.get(_DECODER_REVISION)
    return revision if isinstance(revision, int) else FIRST_DECODER_REVISION


def region_of(row: dict[str, Any]) -> Region:
    """The region that a row stands for; it needs REGION_FIELDS."""
    if row["x_max"] <= row["x_min"]:
        return WHOLE_PICTURE
    box = (row["x_min"], row["y_min"], row["x_max"], row["y_max"])
    return Region(box, row["label"], row["score"], row["class_id"])


def stored_image(record: ImageRecord, rows: Iterable[dict[str, Any]]) -> StoredImage:
    """A picture from its rows in any order."""
    ordered: Sequence[dict[str, Any]] = sorted(rows, key=lambda row: RowKey.parse(row["key"]).region)
    embeddings: Embeddings = np.array([row[EMBEDDING] for row in ordered], dtype=np.float32)
    return StoredImage(record, tuple(region_of(row) for row in ordered), embeddings)


def _region_fields(region: Region) -> dict[str, Any]:
    """A region as columns; a whole picture has an empty box."""
    x_min, y_min, x_max, y_max = region.box or (0.0, 0.0, 0.0, 0.0)
    return {
        "label": region.label,
        "score": region.score,
        "class_id": region.class_id,
        "x_min": x_min,
        "y_min": y_min,
        "x_max": x_max,
        "y_max": y_max,
    }
