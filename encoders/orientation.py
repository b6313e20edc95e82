"""EXIF orientation: how a stored image has to be turned to be upright."""

import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UPRIGHT = 1

_TAG = 0x0112
_BROKEN_EXIF = (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error)


def orientation_of(image: Image.Image) -> int:
    """Read orientation 1 to 8 of an opened image; as viewers do, what is broken or means nothing is taken as upright."""
    if image.format == "TIFF":  # Pillow turns TIFF itself, size included
        return UPRIGHT
    if image.format == "PNG" and "exif" not in image.info:  # asking further would decode the image
        return UPRIGHT
    try:
        orientation = image.getexif().get(_TAG, UPRIGHT)
    except _BROKEN_EXIF:
        return UPRIGHT
    return orientation if orientation in range(1, 9) else UPRIGHT


def swap_sides(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height of the upright image from those of the stored one, and back."""
    return (size[1], size[0]) if orientation >= 5 else size


def as_stored(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A view of upright pixels (H, W, 3) in the order in which an image of this orientation stores them."""
    if orientation >= 5:
        upright = upright.transpose(1, 0, 2)
    # Which axes the stored image runs backwards along, by the definition of EXIF's eight values.
    flips_rows, flips_columns = orientation in {3, 4, 6, 7}, orientation in {2, 3, 7, 8}
    return upright[:: -1 if flips_rows else 1, :: -1 if flips_columns else 1]
