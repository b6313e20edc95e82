"""From upright pixels to a model's input: regions are cut out, resized and fitted, and the geometry to undo it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from domain.box import WHOLE_IMAGE, Box, is_inside
from encoders.bundle import Preprocessing
from encoders.errors import InvalidContent
from encoders.images.decoding import ImageHeader
from encoders.images.pixels import Pixels

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}
# CompCars' published filter, a Gaussian over 7 x 7 pixels, has a sigma of 1000: all its weights are equal.
_BLUR_RADIUS_PX = 3


@dataclass(frozen=True, slots=True)
class Fit:
    """The image is resized to `resized_px` (width, height); the input's corner lies at (`left_px`, `top_px`) of it.

    Letterboxing pads, so its offsets are negative; cropping cuts, so its offsets are positive.
    """

    resized_px: tuple[int, int]
    left_px: int
    top_px: int


def fit(image_px: tuple[int, int], preprocessing: Preprocessing) -> Fit:
    """Compute where an image of (width, height) lies in the model's input."""
    width_px, height_px = image_px
    input_width_px, input_height_px = preprocessing.size
    match preprocessing.resize:
        case "squash":
            return Fit(preprocessing.size, 0, 0)
        case "letterbox":
            scale = min(input_width_px / width_px, input_height_px / height_px)
            resized_px = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
            # On the left and above, padding rounds down in Darknet, and up in CompCars with its blurred bands.
            odd_px = 1 if preprocessing.fill == "blur" else 0
            left_px = (input_width_px - resized_px[0] + odd_px) // 2
            top_px = (input_height_px - resized_px[1] + odd_px) // 2
            return Fit(resized_px, -left_px, -top_px)
        case "shortest_crop":
            # Lengths and offsets are rounded as torchvision's Resize and CenterCrop round them.
            shorter_px = preprocessing.shorter_side_px or max(preprocessing.size)
            longer_px = int(shorter_px * max(image_px) / min(image_px))
            resized_px = (longer_px, shorter_px) if width_px > height_px else (shorter_px, longer_px)
            left_px = round((resized_px[0] - input_width_px) / 2)
            return Fit(resized_px, left_px, round((resized_px[1] - input_height_px) / 2))


def enough_px(header: ImageHeader, boxes: Iterable[Box | None], preprocessing: Preprocessing) -> tuple[int, int]:
    """Compute the (width, height) that the whole image needs so that each box of it fills the model's input."""
    width_px = height_px = 1
    for x_min, y_min, x_max, y_max in (box or WHOLE_IMAGE for box in boxes):
        width, height = x_max - x_min, y_max - y_min
        box_px = (max(1, round(header.width_px * width)), max(1, round(header.height_px * height)))
        resized_px = fit(box_px, preprocessing).resized_px
        width_px = max(width_px, math.ceil(resized_px[0] / width))
        height_px = max(height_px, math.ceil(resized_px[1] / height))
    return width_px, height_px


def check_box(box: Box) -> None:
    """Raise `InvalidContent` unless the box lies inside the image and is not empty."""
    if not is_inside(box):
        raise InvalidContent("The region must satisfy 0 <= x_min < x_max <= 1 and 0 <= y_min < y_max <= 1.")


def crop(pixels: Pixels, box: Box) -> Pixels:
    """Cut out a box in normalized coordinates, at least one pixel; raises `InvalidContent` as `check_box` does."""
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
    fitted = fit((width_px, height_px), preprocessing)
    image = Image.fromarray(pixels).resize(fitted.resized_px, _RESAMPLING[preprocessing.interpolation])
    if fitted.resized_px == preprocessing.size:
        return np.asarray(image)
    if preprocessing.fill == "blur":
        return _with_blurred_bands(np.asarray(image), preprocessing.size, fitted)
    window = Image.new("RGB", preprocessing.size, preprocessing.fill)
    window.paste(image, (-fitted.left_px, -fitted.top_px))
    return np.asarray(window)


def is_blank(pixels: Pixels) -> bool:
    """Whether a drawing has no stroke: nothing in it differs visibly from the rest."""
    return int(pixels.max()) - int(pixels.min()) < 16


def _with_blurred_bands(pixels: Pixels, size: tuple[int, int], fitted: Fit) -> Pixels:
    """Letterbox pixels (h, w, 3), full one way, in an input of `size`; the free bands continue the image, as in CompCars.

    A band is the strip of the image beside it, as thick as the band and not mirrored, blurred on its own. Where the
    band is thicker than the image, it is a copy of all of it, and what lies further out stays black.
    """
    window = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    if pixels.shape[1] == size[0]:
        _fill(window, pixels, -fitted.top_px)
    else:
        # Bands on the left and right are those above and below of the image on its side.
        _fill(window.swapaxes(0, 1), pixels.swapaxes(0, 1), -fitted.left_px)
    return window


def _fill(window: Pixels, pixels: Pixels, top_px: int) -> None:
    """Write the image's rows and the bands above and below them into a window as wide as the image."""
    bottom_px = top_px + len(pixels)
    window[top_px:bottom_px] = pixels
    above, below = pixels[:top_px], pixels[max(0, len(pixels) - (len(window) - bottom_px)) :]
    if len(above):
        window[top_px - len(above) : top_px] = _blurred(above)
    if len(below):
        window[bottom_px : bottom_px + len(below)] = _blurred(below)


def _blurred(strip: Pixels) -> Pixels:
    """Average each pixel with those around it, the strip being mirrored beyond its edges."""
    radius_px = _BLUR_RADIUS_PX
    padded = np.pad(strip, ((radius_px, radius_px), (radius_px, radius_px), (0, 0)), mode="reflect")
    blurred = np.asarray(Image.fromarray(padded).filter(ImageFilter.BoxBlur(radius_px)))
    return blurred[radius_px:-radius_px, radius_px:-radius_px]
