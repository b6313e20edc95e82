"""Encoded pictures from strangers: refuse what is not a usable picture, decode the rest to upright RGB, crop and resize."""

import io
import math
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.bands import with_blurred_bands
from encoders.bundle import Colour, Preprocessing
from encoders.errors import InvalidContent, UnsupportedPicture
from encoders.fit import fit
from encoders.pixels import to_rgb

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]

MAX_SIDE_PX = 16_384
MAX_PIXELS = 32_000_000
WHITE = (255, 255, 255)
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)

_SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
}
_READABLE = "send JPEG, PNG, WebP, GIF, BMP or TIFF"
_ORIENTATION_TAG = 0x0112
_BROKEN_EXIF = (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error)
_UPRIGHT = 1
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a picture says of itself before a pixel is decoded; width and height are those of the upright picture."""

    format: str
    width_px: int
    height_px: int
    is_animated: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """Upright RGB `pixels` (H, W, 3), perhaps decoded at a fraction of the picture's real `width_px` x `height_px`."""

    pixels: Pixels
    width_px: int
    height_px: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenedPicture:
    """A picture whose header was found acceptable and whose pixels are still encoded; decode it once."""

    header: ImageHeader
    _image: Image.Image

    def decode(self, *, enough_px: tuple[int, int] | None = None, background: Colour = WHITE) -> Picture:
        """Decode the first frame; `enough_px` is the (width, height) that it will be resized to.

        A large JPEG is then decoded at 1/2, 1/4 or 1/8, while both sides keep twice what is enough: 2.3 to 4.9 times
        faster for shorter sides of 900 to 2,700 px, and MobileNetV2's embedding of real photos keeps a cosine of at
        least .998 to that of the full decode (.978 with only once what is enough).
        """
        header, image = self.header, self._image
        with _refusing(header.format):
            if enough_px is not None and header.format == "JPEG":
                image.draft(None, _as_stored(image, (2 * enough_px[0], 2 * enough_px[1])))
            image.load()
            upright = to_rgb(image, background)
            turn = _TO_UPRIGHT.get(_orientation(image))
            if turn is not None:
                upright = upright.transpose(turn)
            warnings = ("only the first frame was read",) if header.is_animated else ()
            return Picture(np.asarray(upright), header.width_px, header.height_px, warnings)


def probe(data: bytes) -> ImageHeader:
    """Read a picture's header; raises `UnsupportedPicture` as `decode` does, short of damage in the pixels."""
    return open_picture(data).header


def decode(data: bytes, *, enough_px: tuple[int, int] | None = None, background: Colour = WHITE) -> Picture:
    """Open and decode a picture; raises `UnsupportedPicture` with one sentence for the caller."""
    return open_picture(data).decode(enough_px=enough_px, background=background)


def open_picture(data: bytes) -> OpenedPicture:
    """Check kind and size without decoding, so that a small file cannot cost much memory."""
    image_format = _sniff(data)
    with _refusing(image_format):
        image = Image.open(io.BytesIO(data), formats=[image_format])
        _check_size(*image.size)
        width_px, height_px = _as_stored(image, image.size)
        header = ImageHeader(image_format, width_px, height_px, _is_animated(image))
    return OpenedPicture(header, image)


def enough_px(header: ImageHeader, boxes: Iterable[Box | None], preprocessing: Preprocessing) -> tuple[int, int]:
    """Tell which (width, height) the whole picture needs so that each box of it fills the model's input."""
    width_px = height_px = 1
    for x_min, y_min, x_max, y_max in (box or WHOLE for box in boxes):
        share_x, share_y = x_max - x_min, y_max - y_min
        box_px = (max(1, round(header.width_px * share_x)), max(1, round(header.height_px * share_y)))
        resized_px = fit(box_px, preprocessing).resized_px
        width_px = max(width_px, math.ceil(resized_px[0] / share_x))
        height_px = max(height_px, math.ceil(resized_px[1] / share_y))
    return width_px, height_px


def check_box(box: Box) -> None:
    """Raise `InvalidContent` where a box is none inside the picture, NaN included."""
    x_min, y_min, x_max, y_max = box
    if not (0 <= x_min < x_max <= 1 and 0 <= y_min < y_max <= 1):  # NaN fails every comparison
        raise InvalidContent("The region must satisfy 0 <= x_min < x_max <= 1 and 0 <= y_min < y_max <= 1.")


def crop(pixels: Pixels, box: Box) -> Pixels:
    """Cut out a box given in shares of the sides, at least one pixel; `InvalidContent` where it is no box in 0..1."""
    check_box(box)
    x_min, y_min, x_max, y_max = box
    height_px, width_px = pixels.shape[:2]
    left = min(round(x_min * width_px), width_px - 1)
    top = min(round(y_min * height_px), height_px - 1)
    right, bottom = max(round(x_max * width_px), left + 1), max(round(y_max * height_px), top + 1)
    return pixels[top:bottom, left:right]


def resize(pixels: Pixels, preprocessing: Preprocessing) -> Pixels:
    """Bring RGB pixels to the model's input (H, W, 3) with Pillow's antialiasing."""
    height_px, width_px = pixels.shape[:2]
    placed = fit((width_px, height_px), preprocessing)
    image = Image.fromarray(pixels).resize(placed.resized_px, _RESAMPLING[preprocessing.interpolation])
    if placed.resized_px == preprocessing.size:
        return np.asarray(image)
    if preprocessing.fill == "blur":
        return with_blurred_bands(np.asarray(image), preprocessing.size, (-placed.left_px, -placed.top_px))
    window = Image.new("RGB", preprocessing.size, preprocessing.fill)
    window.paste(image, (-placed.left_px, -placed.top_px))
    return np.asarray(window)


def is_blank(pixels: Pixels) -> bool:
    """Tell whether a drawing has no stroke: nothing in it differs visibly from the rest."""
    return int(pixels.max()) - int(pixels.min()) < 16


def _sniff(data: bytes) -> str:
    """Name the format by its first bytes, because names and claimed types lie."""
    for image_format, signatures in _SIGNATURES.items():
        if data.startswith(signatures):
            return image_format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    raise UnsupportedPicture(_what_else(data))


def _what_else(data: bytes) -> str:
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not data:
        return "The picture is empty (0 bytes)."
    if b"<svg" in start:
        return f"This is an SVG drawing, not a picture of pixels; {_READABLE}."
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<!--")):
        return f"This is a web page or XML text, not a picture; {_READABLE}."
    return f"This is not a picture that can be read; {_READABLE}."


def _check_size(width_px: int, height_px: int) -> None:
    if max(width_px, height_px) > MAX_SIDE_PX or width_px * height_px > MAX_PIXELS:
        raise UnsupportedPicture(
            f"The picture has {width_px:,} x {height_px:,} pixels; "
            f"at most {MAX_SIDE_PX:,} a side and {MAX_PIXELS // 1_000_000} megapixels are accepted."
        )
    if min(width_px, height_px) < 1:
        raise UnsupportedPicture("The picture has no pixels.")


def _orientation(image: Image.Image) -> int:
    """Read EXIF orientation 1 to 8; as viewers do, what is broken or means nothing is taken as upright."""
    if image.format == "TIFF":  # Pillow turns TIFF itself, size included
        return _UPRIGHT
    if image.format == "PNG" and "exif" not in image.info:  # asking further would decode the picture
        return _UPRIGHT
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, _UPRIGHT)
    except _BROKEN_EXIF:
        return _UPRIGHT
    return orientation if orientation in _TO_UPRIGHT else _UPRIGHT


def _as_stored(image: Image.Image, size: tuple[int, int]) -> tuple[int, int]:
    """Swap width and height where the picture lies on its side; the same swap leads back."""
    return (size[1], size[0]) if _orientation(image) >= 5 else size


def _is_animated(image: Image.Image) -> bool:
    # A JPEG with several pictures (MPO) is a photo with its own thumbnails or its stereo twin.
    return image.format in {"GIF", "PNG", "WEBP", "TIFF"} and bool(getattr(image, "is_animated", False))


@contextmanager
def _refusing(image_format: str) -> Iterator[None]:
    """Turn whatever Pillow raises over a picture's bytes into `UnsupportedPicture`.

    Its decoders raise OSError, ValueError, TypeError, IndexError, KeyError, SyntaxError, NotImplementedError,
    struct.error, bomb errors and more, so nothing narrower than Exception holds.
    """
    try:
        yield
    except (InvalidContent, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnsupportedPicture(
            f"The picture is too large; at most {MAX_SIDE_PX:,} pixels a side and "
            f"{MAX_PIXELS // 1_000_000} megapixels are accepted."
        ) from error
    except Exception as error:
        raise UnsupportedPicture(f"The {image_format} picture cannot be decoded; it is damaged or cut off.") from error
