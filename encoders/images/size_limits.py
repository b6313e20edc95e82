"""How large an image may be, by its kind and so by what decoding it costs; what is larger is refused by name."""

import math
from typing import NamedTuple

from PIL import Image

from encoders.errors import UnsupportedImage
from encoders.images.jpeg_scans import JpegCoding


class SizeLimit(NamedTuple):
    """The most pixels of an image, in millions and on a side."""

    megapixels: int
    side_px: int


USUAL_LIMIT = SizeLimit(32, 16_384)
"""Also what is decoded of a JPEG at most, whatever its size: larger ones are decoded at a fraction."""

# A baseline JPEG needs no more memory than the fraction that is decoded; the side is the format's own limit.
_JPEG_LIMITS = {
    JpegCoding.BASELINE: SizeLimit(250, 65_500),
    JpegCoding.PROGRESSIVE: SizeLimit(60, 65_500),
    JpegCoding.SEVERAL_SCANS: SizeLimit(60, 65_500),
    JpegCoding.LOSSLESS: USUAL_LIMIT,
}
# Transparent ones take twice the memory, and no camera makes them.
_OPAQUE_HEIF_LIMIT = SizeLimit(50, 16_384)
_NAMES = {"HEIF": "HEIC", "WEBP": "WebP"}


def check_size(image: Image.Image, coding: JpegCoding | None) -> None:
    """Raise `UnsupportedImage` for an opened image that is too large; `coding` is that of a JPEG."""
    width_px, height_px = image.size
    if min(image.size) < 1:
        raise UnsupportedImage("The image has no pixels.")
    kind, limit = _NAMES.get(image.format or "", image.format or "image"), USUAL_LIMIT
    if coding is not None:
        kind, limit = coding.value, _JPEG_LIMITS[coding]
    elif image.format in {"HEIF", "AVIF"} and image.mode in {"RGB", "L"}:
        limit = _OPAQUE_HEIF_LIMIT
    size = f"The image has {width_px:,} x {height_px:,} pixels"
    if width_px * height_px > limit.megapixels * 1_000_000:
        megapixels = math.ceil(width_px * height_px / 1_000_000)
        raise UnsupportedImage(f"{size}: {kind} of {megapixels:,} megapixels; the limit is {limit.megapixels}.")
    if max(width_px, height_px) > limit.side_px:
        raise UnsupportedImage(f"{size}; the limit for a side of {kind} is {limit.side_px:,}.")


def least_reduction(size: tuple[int, int]) -> int:
    """The fraction, 1/1 to 1/8, at which a JPEG of this size has to be decoded, as its denominator."""
    width_px, height_px = size
    fits = (
        d for d in (1, 2, 4) if math.ceil(width_px / d) * math.ceil(height_px / d) <= USUAL_LIMIT.megapixels * 1_000_000
    )
    return next(fits, 8)
