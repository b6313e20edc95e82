"""Encoded pictures from strangers: refuse what is not a usable picture, decode the rest to upright RGB, crop and resize."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from domain.box import WHOLE_IMAGE, Box, is_inside
from encoders.bands import with_blurred_bands
from encoders.bundle import Colour, Preprocessing
from encoders.decode_cost import decode_bytes
from encoders.encoded_image import EncodedImage, never
from encoders.errors import DecodingCancelled, InvalidContent, UnsupportedPicture
from encoders.fit import fit
from encoders.image_format import format_of
from encoders.jpeg_end import load_without_end
from encoders.orientation import orientation_of, swap_sides
from encoders.pixels import Pixels, upright_pixels

MAX_SIDE_PX = 16_384
MAX_PIXELS = 32_000_000
WHITE = (255, 255, 255)

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
    has_colour_profile: bool


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
    _data: bytes
    _image: Image.Image
    _is_cancelled: Callable[[], bool]

    def decode_bytes(self, *, enough_px: tuple[int, int] | None = None) -> int:
        """The most memory that `decode` takes, in bytes, its result included and the encoded picture not."""
        stored_size = swap_sides((self.header.width_px, self.header.height_px), orientation_of(self._image))
        self._reduce(self._image, enough_px)
        return decode_bytes(self._image, stored_size)

    def decode(self, *, enough_px: tuple[int, int] | None = None, background: Colour = WHITE) -> Picture:
        """Decode the first frame; `enough_px` is the (width, height) that it will be resized to.

        A large JPEG is then decoded at 1/2, 1/4 or 1/8, while both sides keep twice what is enough: 2.3 to 4.9 times
        faster for shorter sides of 900 to 2,700 px, and MobileNetV2's embedding of real photos keeps a cosine of at
        least .998 to that of the full decode (.978 with only once what is enough). Raises `UnsupportedPicture`, and
        `DecodingCancelled` soon after the caller has gone.
        """
        header = self.header
        with _refusing(header.format):
            image, warnings = self._loaded(enough_px)
            pixels = upright_pixels(image, orientation_of(image), background)
            if header.is_animated:
                warnings += ("only the first frame was read",)
            return Picture(pixels, header.width_px, header.height_px, warnings)

    def _loaded(self, enough_px: tuple[int, int] | None) -> tuple[Image.Image, tuple[str, ...]]:
        """The image with its pixels, and what to tell about them."""
        try:
            self._reduce(self._image, enough_px)
            self._image.load()
        except OSError:
            whole = load_without_end(self._data, partial(self._open, enough_px)) if self._is_jpeg else None
            if whole is None:
                raise
            return whole, ("the JPEG lacks its end marker; all of its pixels were read",)
        return self._image, ()

    @property
    def _is_jpeg(self) -> bool:
        return self.header.format == "JPEG"

    def _open(self, enough_px: tuple[int, int] | None, data: bytes) -> Image.Image:
        image = _open(data, self.header.format, self._is_cancelled)
        self._reduce(image, enough_px)
        return image

    def _reduce(self, image: Image.Image, enough_px: tuple[int, int] | None) -> None:
        """Have a JPEG decoded at a fraction; only the first time counts."""
        if enough_px is not None and self._is_jpeg:
            twice_px = (2 * enough_px[0], 2 * enough_px[1])
            image.draft(None, swap_sides(twice_px, orientation_of(image)))


def probe(data: bytes) -> ImageHeader:
    """Read a picture's header; raises `UnsupportedPicture` as `decode` does, short of damage in the pixels."""
    return open_picture(data).header


def decode(data: bytes, *, enough_px: tuple[int, int] | None = None, background: Colour = WHITE) -> Picture:
    """Open and decode a picture; raises `UnsupportedPicture` with one sentence for the caller."""
    return open_picture(data).decode(enough_px=enough_px, background=background)


def open_picture(data: bytes, *, is_cancelled: Callable[[], bool] = never) -> OpenedPicture:
    """Check kind and size without decoding, so that a small file cannot cost much memory.

    `is_cancelled` is asked again and again while the file is read; once it is true, `DecodingCancelled` ends the work.
    """
    image_format = format_of(data)
    with _refusing(image_format):
        image = _open(data, image_format, is_cancelled)
        _check_size(*image.size)
        width_px, height_px = swap_sides(image.size, orientation_of(image))
        has_colour_profile = bool(image.info.get("icc_profile"))
        header = ImageHeader(image_format, width_px, height_px, _is_animated(image), has_colour_profile)
    return OpenedPicture(header, data, image, is_cancelled)


def _open(data: bytes, image_format: str, is_cancelled: Callable[[], bool]) -> Image.Image:
    return Image.open(EncodedImage(data, image_format, is_cancelled), formats=[image_format])


def enough_px(header: ImageHeader, boxes: Iterable[Box | None], preprocessing: Preprocessing) -> tuple[int, int]:
    """Tell which (width, height) the whole picture needs so that each box of it fills the model's input."""
    width_px = height_px = 1
    for x_min, y_min, x_max, y_max in (box or WHOLE_IMAGE for box in boxes):
        share_x, share_y = x_max - x_min, y_max - y_min
        box_px = (max(1, round(header.width_px * share_x)), max(1, round(header.height_px * share_y)))
        resized_px = fit(box_px, preprocessing).resized_px
        width_px = max(width_px, math.ceil(resized_px[0] / share_x))
        height_px = max(height_px, math.ceil(resized_px[1] / share_y))
    return width_px, height_px


def check_box(box: Box) -> None:
    """Raise `InvalidContent` where a box is none inside the picture, NaN included."""
    if not is_inside(box):
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


def _check_size(width_px: int, height_px: int) -> None:
    if max(width_px, height_px) > MAX_SIDE_PX or width_px * height_px > MAX_PIXELS:
        raise UnsupportedPicture(
            f"The picture has {width_px:,} x {height_px:,} pixels; "
            f"at most {MAX_SIDE_PX:,} a side and {MAX_PIXELS // 1_000_000} megapixels are accepted."
        )
    if min(width_px, height_px) < 1:
        raise UnsupportedPicture("The picture has no pixels.")


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
    except (InvalidContent, DecodingCancelled, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnsupportedPicture(
            f"The picture is too large; at most {MAX_SIDE_PX:,} pixels a side and "
            f"{MAX_PIXELS // 1_000_000} megapixels are accepted."
        ) from error
    except Exception as error:
        raise UnsupportedPicture(f"The {image_format} picture cannot be decoded; it is damaged or cut off.") from error
