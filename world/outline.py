"""Owns the lines of a sprite: its outline, and the borders of its larger parts, as a hand would see them."""

from typing import cast

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

Line = NDArray[np.float64]

# A sprite is looked at this small (its longer side, in pixels), so that details are left out.
TRACED_PX = 34
MARGIN_PX = 3
# A part counts where it is this much lighter or darker than most of the object, of 255 ...
LEAST_CONTRAST = 26.0
# ... and its border this long, in longer sides of the sprite.
LEAST_BORDER = 0.55
MOST_PARTS = 4


def outline_of(sprite: Image.Image) -> Line:
    """The longest closed line around an RGBA sprite, (P, 2) of x and y as fractions of its width and height."""
    mask = _small(sprite).getchannel("A")
    return max(_borders(mask, fill=0, level=90.0), key=lambda line: _length(line, mask.size))


def parts_of(sprite: Image.Image) -> list[Line]:
    """The borders of its largest lighter and darker parts, longest first, in the same shares."""
    small = _small(sprite)
    grey, is_inside = np.asarray(small.convert("L")), np.asarray(small.getchannel("A")) > 128
    most, dark, light = np.percentile(grey[is_inside], (50, 4, 96)) if is_inside.any() else (0.0, 0.0, 0.0)
    flat = Image.fromarray(np.where(is_inside, grey, most).astype(np.uint8))
    borders = [
        line
        for extreme in (dark, light)
        if abs(extreme - most) >= LEAST_CONTRAST
        for line in _borders(flat, fill=int(most), level=float(most + extreme) / 2)
        if _length(line, flat.size) >= LEAST_BORDER * max(flat.size)
    ]
    return sorted(borders, key=lambda line: _length(line, flat.size), reverse=True)[:MOST_PARTS]


def _small(sprite: Image.Image) -> Image.Image:
    share = TRACED_PX / max(sprite.size)
    size = (max(4, round(sprite.width * share)), max(4, round(sprite.height * share)))
    return sprite.resize(size, Image.Resampling.BOX)


def _borders(levels: Image.Image, *, fill: int, level: float) -> list[Line]:
    soft = ImageOps.expand(levels, MARGIN_PX, fill).filter(ImageFilter.BoxBlur(0.7))
    lines = cast("list[Line]", contour_generator(z=np.asarray(soft, np.float64)).lines(level))
    return [(line - MARGIN_PX + 0.5) / levels.size for line in lines]


def _length(line: Line, size: tuple[int, int]) -> float:
    return float(np.hypot(*np.diff(line * size, axis=0).T).sum())
