"""Every way in which an image stores its pixels, brought to upright 8-bit sRGB as a viewer would show it."""

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms

from encoders.bundle import Colour
from encoders.errors import UnsupportedImage
from encoders.images.colour_profile import to_srgb

Pixels = NDArray[np.uint8]

_UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
BROKEN_EXIF = (ArithmeticError, AttributeError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error)
_STRIP_PIXELS = 1 << 18
_WITH_ALPHA = {"LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}


def orientation_of(image: Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8, of an opened image; as in viewers, a broken or unknown one counts as upright."""
    if image.format in {"TIFF", "HEIF"}:  # turned by Pillow and libheif, size included
        return _UPRIGHT
    if image.format == "PNG" and "exif" not in image.info:  # asking further would decode the image
        return _UPRIGHT
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, _UPRIGHT)
    except BROKEN_EXIF:
        return _UPRIGHT
    return orientation if orientation in range(1, 9) else _UPRIGHT


def swap_sides(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height of the upright image from those of the stored one, and back."""
    return (size[1], size[0]) if orientation >= 5 else size


def upright_pixels(image: Image.Image, background: Colour) -> Pixels:
    """The pixels (H, W, 3) of a loaded image of any mode; what is transparent shows `background`.

    They are converted a strip at a time and written straight to where they belong, so that beside the decoded image
    only the result takes memory.
    """
    convert, orientation = _converter(image, background), orientation_of(image)
    width_px, height_px = image.size
    upright = np.empty((*reversed(swap_sides(image.size, orientation)), 3), dtype=np.uint8)
    # A view in the order of the file: by the definition of EXIF's eight values, it runs backwards along some axes.
    stored = upright.transpose(1, 0, 2) if orientation >= 5 else upright
    stored = stored[:: -1 if orientation in {3, 4, 6, 7} else 1, :: -1 if orientation in {2, 3, 7, 8} else 1]
    rows = max(1, _STRIP_PIXELS // width_px)
    for top in range(0, height_px, rows):
        bottom = min(top + rows, height_px)
        strip = image if rows >= height_px else image.crop((0, top, width_px, bottom))
        stored[top:bottom] = np.asarray(convert(strip))
    return upright


def _converter(image: Image.Image, background: Colour) -> Callable[[Image.Image], Image.Image]:
    """What turns a strip of the image into RGB."""
    if image.mode == "F":
        raise UnsupportedImage("Images of floating-point numbers cannot be read; save it with 8 or 16 bits.")
    profile = image.info.get("icc_profile")
    conversion = to_srgb(profile) if isinstance(profile, bytes) and profile else None
    # Pillow takes every CMYK JPEG for Adobe's, whose inks are stored inverted; without the marker they are not.
    is_inverted = image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info
    bits_lost = 0
    if image.mode.startswith("I"):
        # The highest 8 of 16 bits are kept, or of 31; Pillow's own conversion would cut every level above 255 to white.
        bits_lost = 8 if max(np.ravel(image.getextrema())) <= 0xFFFF else 23

    def convert(strip: Image.Image) -> Image.Image:
        if bits_lost:
            strip = Image.fromarray((np.asarray(strip).clip(min=0) >> bits_lost).astype(np.uint8))
        if is_inverted:
            strip = ImageChops.invert(strip)
        opaque, alpha = _split(strip)
        rgb = _to_rgb(opaque, conversion)
        return rgb if alpha is None else Image.composite(rgb, Image.new("RGB", rgb.size, background), alpha)

    return convert


def _split(strip: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours, and the alpha channel where there is transparency."""
    mode = _WITH_ALPHA.get(strip.mode) or ("RGBA" if "transparency" in strip.info else None)
    if mode is None:
        return strip, None
    strip = strip.convert(mode)
    return strip.convert(mode.removesuffix("A")), strip.getchannel("A")


def _to_rgb(strip: Image.Image, conversion: ImageCms.ImageCmsTransform | None) -> Image.Image:
    """Convert by the profile; one for RGB serves grey and palettes too, any other must fit what is stored."""
    if conversion is not None and conversion.input_mode == "RGB" and strip.mode != "CMYK":
        return conversion.apply(strip.convert("RGB"))
    if conversion is not None and conversion.input_mode == strip.mode:
        return conversion.apply(strip)
    return strip.convert("RGB")
