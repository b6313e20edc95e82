"""Every way in which a picture stores its pixels, brought to 8-bit RGB as a viewer would show it."""

import numpy as np
from PIL import Image, ImageChops

from encoders.bundle import Colour
from encoders.errors import UnsupportedPicture


def to_rgb(image: Image.Image, background: Colour) -> Image.Image:
    """Convert a loaded picture of any mode; what is transparent shows `background`."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info:
        return _over(_with_alpha(image), background)
    if image.mode == "F":
        raise UnsupportedPicture("Pictures of floating-point numbers cannot be read; save it with 8 or 16 bits.")
    if image.mode.startswith("I"):
        return _from_integers(np.asarray(image))
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow takes every CMYK JPEG for Adobe's, whose inks are stored inverted; without the marker they are not.
        image = ImageChops.invert(image)
    return image.convert("RGB")


def _with_alpha(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey with one transparent level
        return _from_integers(np.asarray(image)).convert("RGBA")
    return image.convert("RGBA")


def _over(image: Image.Image, background: Colour) -> Image.Image:
    ground = Image.new("RGB", image.size, background)
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def _from_integers(levels: np.ndarray) -> Image.Image:
    """Keep the highest 8 of 16 bits, or of 31; Pillow's own conversion would cut every level above 255 to white."""
    bits_lost = 8 if levels.max() <= 0xFFFF else 23
    return Image.fromarray((levels.clip(min=0) >> bits_lost).astype(np.uint8)).convert("RGB")
