"""What is written of an image: completed from the live version where the caller left something out, and checked."""

import math
import re
from dataclasses import replace

import numpy as np

from domain.box import is_inside
from domain.detection import Detection
from domain.limits import MAX_LABEL_BYTES, MAX_REGIONS
from domain.uri import uri_fault
from rpc.errors import Aborted, InvalidArgument, Unavailable
from rpc.metadata import checked
from services.stores.records import (
    WHOLE_IMAGE_REGION,
    Collection,
    CollectionMode,
    Draft,
    Embeddings,
    ImageRecord,
    NewImage,
    NewMetadata,
    StoredImage,
    image_id_of,
)

UNIT_TOLERANCE = 1e-3

_SHA256 = re.compile(r"[0-9a-f]{64}")

Change = NewImage | NewMetadata


def draft_of(image: NewImage, collection: Collection, now_s: float, based_on: int | None = None) -> Draft:
    """The image with its record; InvalidArgument says what cannot be stored."""
    if fault := uri_fault(image.uri):
        raise InvalidArgument(f"uri: it {fault}")
    if _SHA256.fullmatch(image.sha256) is None:
        raise InvalidArgument("sha256: 64 hex digits are needed")
    metadata = checked(image.metadata or {})
    _check_regions(image.regions)
    check_embeddings(image.embeddings, collection.dimension)
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
        exif=image.exif,
        lacks_objects=collection.mode is CollectionMode.OBJECTS and image.regions == (WHOLE_IMAGE_REGION,),
    )
    return Draft(image, record, based_on)


def check_embeddings(embeddings: Embeddings, dimension: int) -> None:
    """InvalidArgument unless embeddings are (N, dimension) and of unit length; some engines store NaN, so it is refused."""
    if embeddings.ndim != 2 or embeddings.shape[1] != dimension:
        raise InvalidArgument(f"embedding: {dimension} numbers are needed, found the shape {embeddings.shape}")
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    if not np.all(np.abs(lengths - 1.0) <= UNIT_TOLERANCE):
        raise InvalidArgument("embedding: unit length is needed, and no NaN")


def is_whole(change: Change) -> bool:
    """Whether nothing of the live version is needed."""
    return isinstance(change, NewImage) and change.metadata is not None


def completed(change: Change, record: ImageRecord | None, stored: StoredImage | None) -> NewImage:
    """The whole image: metadata that are not sent stay, and so do the embeddings where only metadata are sent."""
    if isinstance(change, NewImage):
        kept = record.metadata if record else {}
        return change if change.metadata is not None else replace(change, metadata=kept)
    if record is None or record.sha256 != change.sha256:
        raise Aborted("the image changed meanwhile; send it again")
    if stored is None:
        raise Unavailable("the stored embeddings of this image cannot be read now; try again")
    same = new_image_of(record, stored)
    metadata = same.metadata if change.metadata is None else change.metadata
    return replace(same, metadata=metadata, exif=same.exif if change.exif is None else change.exif)


def new_image_of(record: ImageRecord, stored: StoredImage) -> NewImage:
    """The image as it is stored, to be put again."""
    return NewImage(
        uri=record.uri,
        sha256=record.sha256,
        width_px=record.width_px,
        height_px=record.height_px,
        metadata=record.metadata,
        regions=stored.regions,
        embeddings=stored.embeddings,
        decoder_revision=record.decoder_revision,
        exif=record.exif,
    )


def _check_regions(regions: tuple[Detection, ...]) -> None:
    if not 0 < len(regions) <= MAX_REGIONS:
        raise InvalidArgument(f"regions: 1 to {MAX_REGIONS} are needed, found {len(regions)}")
    for region in regions:
        if len(region.label.encode()) > MAX_LABEL_BYTES:
            raise InvalidArgument(f"label: {MAX_LABEL_BYTES} bytes are the most")
        if not math.isfinite(region.score):
            raise InvalidArgument("score: a region's score has to be finite")
        if not is_inside(region.box):
            raise InvalidArgument("box: 0 <= min < max <= 1 is needed for x and y")
