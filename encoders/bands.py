"""The blurred bands of a letterbox: where a picture leaves its input free, its own edges go on, as in CompCars."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_Pixels = NDArray[np.uint8]

# The published filter, a Gaussian over 7 x 7 pixels, has a sigma of 1000: all its weights are equal.
_RADIUS_PX = 3


def with_blurred_bands(pixels: _Pixels, size: tuple[int, int], corner: tuple[int, int]) -> _Pixels:
    """Place pixels (h, w, 3) with their corner at (x, y) in an input of `size` (width, height), full one way.

    A band is the strip of the picture beside it, as thick as the band and not mirrored, blurred on its own. Where the
    band is thicker than the picture, it is a copy of all of it, and what lies further out stays black.
    """
    (width_px, height_px), (left_px, top_px) = size, corner
    window = np.zeros((height_px, width_px, 3), dtype=np.uint8)
    if pixels.shape[1] == width_px:
        _fill(window, pixels, top_px)
    else:
        # Bands on the left and right are those above and below of the picture on its side.
        _fill(window.swapaxes(0, 1), pixels.swapaxes(0, 1), left_px)
    return window


def _fill(window: _Pixels, pixels: _Pixels, top_px: int) -> None:
    """Write the picture's rows and the bands above and below them into a window as wide as the picture."""
    bottom_px = top_px + len(pixels)
    window[top_px:bottom_px] = pixels
    above, below = pixels[:top_px], pixels[max(0, len(pixels) - (len(window) - bottom_px)) :]
    if len(above):
        window[top_px - len(above) : top_px] = _blurred(above)
    if len(below):
        window[bottom_px : bottom_px + len(below)] = _blurred(below)


def _blurred(strip: _Pixels) -> _Pixels:
    """Average each pixel with those around it, the strip being mirrored beyond its edges."""
    around = ((_RADIUS_PX, _RADIUS_PX), (_RADIUS_PX, _RADIUS_PX), (0, 0))
    padded = Image.fromarray(np.pad(strip, around, mode="reflect"))
    blurred = np.asarray(padded.filter(ImageFilter.BoxBlur(_RADIUS_PX)))
    return blurred[_RADIUS_PX:-_RADIUS_PX, _RADIUS_PX:-_RADIUS_PX]
