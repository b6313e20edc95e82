"""Every way in which an image stores its pixels, brought to upright 8-bit sRGB as a viewer would show it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from encoders.bundle import Colour
from encoders.colour_profile import ToSrgb, to_srgb
from encoders.errors import UnsupportedPicture
from encoders.orientation import as_stored

Pixels = NDArray[np.uint8]

_STRIP_PIXELS = 1 << 18
_WITH_ALPHA = {"LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}


def upright_pixels(image: Image.Image, orientation: int, background: Colour) -> Pixels:
    """The pixels (H, W, 3) of a loaded image of any mode; what is transparent shows `background`.

    They are converted a strip at a time and written straight to where they belong, so that beside the decoded image
    only the result takes memory.
    """
    convert = _converter(image, background)
    width_px, height_px = image.size
    upright_size = (width_px, height_px) if orientation < 5 else (height_px, width_px)
    upright = np.empty((upright_size[1], upright_size[0], 3), dtype=np.uint8)
    stored = as_stored(upright, orientation)
    rows = max(1, _STRIP_PIXELS // width_px)
    for top in range(0, height_px, rows):
        bottom = min(top + rows, height_px)
        strip = image if rows >= height_px else image.crop((0, top, width_px, bottom))
        stored[top:bottom] = np.asarray(convert(strip))
    return upright


def _converter(image: Image.Image, background: Colour) -> Callable[[Image.Image], Image.Image]:
    """What turns a strip of the image into RGB."""
    if image.mode == "F":
        raise UnsupportedPicture("Images of floating-point numbers cannot be read; save it with 8 or 16 bits.")
    profile = image.info.get("icc_profile")
    conversion = to_srgb(profile) if isinstance(profile, bytes) and profile else None
    # Pillow takes every CMYK JPEG for Adobe's, whose inks are stored inverted; without the marker they are not.
    is_inverted = image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info
    bits_lost = _bits_lost(image) if image.mode.startswith("I") else 0

    def convert(strip: Image.Image) -> Image.Image:
        if bits_lost:
            strip = _grey(strip, bits_lost)
        if is_inverted:
            strip = ImageChops.invert(strip)
        opaque, alpha = _split(strip)
        rgb = _to_rgb(opaque, conversion)
        return rgb if alpha is None else _over(rgb, alpha, background)

    return convert


def _bits_lost(image: Image.Image) -> int:
    """Keep the highest 8 of 16 bits, or of 31; Pillow's own conversion would cut every level above 255 to white."""
    extrema = image.getextrema()
    return 8 if max(np.ravel(extrema)) <= 0xFFFF else 23


def _grey(strip: Image.Image, bits_lost: int) -> Image.Image:
    return Image.fromarray((np.asarray(strip).clip(min=0) >> bits_lost).astype(np.uint8))


def _split(strip: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours, and the alpha channel where there is transparency."""
    mode = _WITH_ALPHA.get(strip.mode) or ("RGBA" if "transparency" in strip.info else None)
    if mode is None:
        return strip, None
    strip = strip.convert(mode)
    return strip.convert(mode.removesuffix("A")), strip.getchannel("A")


def _to_rgb(strip: Image.Image, conversion: ToSrgb | None) -> Image.Image:
    """Convert by the profile; one for RGB serves grey and palettes too, any other must fit what is stored."""
    if conversion is not None and conversion.mode == "RGB" and strip.mode != "CMYK":
        return conversion.apply(strip.convert("RGB"))
    if conversion is not None and conversion.mode == strip.mode:
        return conversion.apply(strip)
    return strip.convert("RGB")


def _over(rgb: Image.Image, alpha: Image.Image, background: Colour) -> Image.Image:
    ground = Image.new("RGB", rgb.size, background)
    ground.paste(rgb, mask=alpha)
    return ground
