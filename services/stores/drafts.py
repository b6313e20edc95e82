"""What is checked about a picture before any store hears of it."""

import math
import re
from dataclasses import dataclass

import numpy as np

from domain.limits import MAX_LABEL_BYTES, MAX_REGIONS, MAX_URI_BYTES
from rpc.errors import InvalidArgument
from rpc.metadata import checked
from services.stores.catalog import Draft
from services.stores.entries import encode_record, fingerprint_of
from services.stores.records import Embeddings, ImageRecord, NewImage, Region, image_id_of

UNIT_TOLERANCE = 1e-3

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture that may be written: its record still lacks the version."""

    image: NewImage
    record: ImageRecord
    draft: Draft


def prepare(image: NewImage, dimension: int, now_s: float, based_on: int | None = None) -> Prepared:
    """The image with its record; InvalidArgument says what cannot be stored. `based_on` is explained at Draft."""
    _check_uri(image.uri)
    if _SHA256.fullmatch(image.sha256) is None:
        raise InvalidArgument("sha256: 64 hex digits are needed")
    metadata = checked(image.metadata or {})
    _check_regions(image.regions)
    check_embeddings(image.embeddings, dimension)
    if len(image.embeddings) != len(image.regions):
        raise InvalidArgument("embeddings: each region needs exactly one")
    record = ImageRecord(
        image_id=image_id_of(image.uri),
        uri=image.uri,
        sha256=image.sha256,
        version=0,
        region_count=len(image.regions),
        width_px=image.width_px,
        height_px=image.height_px,
        metadata=metadata,
        update_time_s=now_s,
        decoder_revision=image.decoder_revision,
    )
    draft = Draft(record.image_id, fingerprint_of(record), record.region_count, encode_record(record), based_on)
    return Prepared(image, record, draft)


def check_embeddings(embeddings: Embeddings, dimension: int) -> None:
    """InvalidArgument unless embeddings are (N, dimension) unit vectors; NaN is stored by some engines, so never by us."""
    if embeddings.ndim != 2 or embeddings.shape[1] != dimension:
        raise InvalidArgument(f"embedding: {dimension} numbers are needed, found the shape {embeddings.shape}")
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    if not np.all(np.abs(lengths - 1.0) <= UNIT_TOLERANCE):
        raise InvalidArgument("embedding: unit length is needed, and no NaN")


def _check_uri(uri: str) -> None:
    try:
        size = len(uri.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgument("uri: it has to be Unicode text") from error
    if not 0 < size <= MAX_URI_BYTES:
        raise InvalidArgument(f"uri: 1 to {MAX_URI_BYTES} bytes are needed, found {size}")


def _check_regions(regions: tuple[Region, ...]) -> None:
    if not 0 < len(regions) <= MAX_REGIONS:
        raise InvalidArgument(f"regions: 1 to {MAX_REGIONS} are needed, found {len(regions)}")
    for region in regions:
        if len(region.label.encode()) > MAX_LABEL_BYTES:
            raise InvalidArgument(f"label: {MAX_LABEL_BYTES} bytes are the most")
        if not math.isfinite(region.score):
            raise InvalidArgument("score: a region's score has to be finite")
        if region.box is not None and not _is_box(*region.box):
            raise InvalidArgument("box: 0 <= min < max <= 1 is needed for x and y")


def _is_box(x_min: float, y_min: float, x_max: float, y_max: float) -> bool:
    return 0 <= x_min < x_max <= 1 and 0 <= y_min < y_max <= 1
