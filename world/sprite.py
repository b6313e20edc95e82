"""Owns the sprite: one object drawn with smooth edges on a transparent ground, then given volume by light."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from world.palette import Colour

Point = tuple[float, float]

# Shapes are drawn this many times larger and scaled down, which smooths their edges.
SUPERSAMPLING = 3


class Sprite:
    """A drawing board 1 high and `aspect` wide, y pointing down; the object stands on y = 1.

    With `keeps_mask` a shape paints only where something already is: glass, shine, patterns.
    """

    def __init__(self, height_px: int, aspect: float) -> None:
        self._unit = max(8, height_px) * SUPERSAMPLING
        size = (max(8, round(height_px * aspect)) * SUPERSAMPLING, self._unit)
        self._colour = Image.new("RGB", size)
        self._mask = Image.new("L", size)
        self._pen, self._mask_pen = ImageDraw.Draw(self._colour, "RGBA"), ImageDraw.Draw(self._mask)

    def polygon(self, points: Iterable[Point], fill: Colour, *, opacity: float = 1.0, keeps_mask: bool = False) -> None:
        corners = [(x * self._unit, y * self._unit) for x, y in points]
        self._pen.polygon(corners, fill=(*fill, round(255 * opacity)))
        if not keeps_mask:
            self._mask_pen.polygon(corners, fill=255)

    def curve(self, points: Sequence[Point], fill: Colour, *, opacity: float = 1.0, keeps_mask: bool = False) -> None:
        """A smooth closed shape through the points (Catmull-Rom)."""
        self.polygon(smooth(points), fill, opacity=opacity, keeps_mask=keeps_mask)

    def ellipse(
        self, centre: Point, radius: float | Point, fill: Colour, *, opacity: float = 1.0, keeps_mask: bool = False
    ) -> None:
        radius_x, radius_y = radius if isinstance(radius, tuple) else (radius, radius)
        x, y = centre
        corners = [value * self._unit for value in (x - radius_x, y - radius_y, x + radius_x, y + radius_y)]
        self._pen.ellipse(corners, fill=(*fill, round(255 * opacity)))
        if not keeps_mask:
            self._mask_pen.ellipse(corners, fill=255)

    def box(
        self,
        corners: tuple[float, float, float, float],
        fill: Colour,
        *,
        radius: float = 0.0,
        opacity: float = 1.0,
        keeps_mask: bool = False,
    ) -> None:
        scaled, radius_px = [value * self._unit for value in corners], radius * self._unit
        self._pen.rounded_rectangle(scaled, radius_px, fill=(*fill, round(255 * opacity)))
        if not keeps_mask:
            self._mask_pen.rounded_rectangle(scaled, radius_px, fill=255)

    def line(self, points: Sequence[Point], width: float, fill: Colour, *, keeps_mask: bool = False) -> None:
        """A stroke with round ends and joints."""
        for (start_x, start_y), (end_x, end_y) in pairwise(points):
            length = max(1e-6, float(np.hypot(end_x - start_x, end_y - start_y)))
            x, y = (end_y - start_y) / length * width / 2, (start_x - end_x) / length * width / 2
            corners = [
                (start_x + x, start_y + y),
                (end_x + x, end_y + y),
                (end_x - x, end_y - y),
                (start_x - x, start_y - y),
            ]
            self.polygon(corners, fill, keeps_mask=keeps_mask)
        for point in points:
            self.ellipse(point, width / 2, fill, keeps_mask=keeps_mask)

    def ring(self, centre: Point, radius: float, width: float, fill: Colour) -> None:
        turns = np.linspace(0, 2 * np.pi, 48)
        self.line(
            [(centre[0] + radius * np.cos(turn), centre[1] + radius * np.sin(turn)) for turn in turns], width, fill
        )

    def finish(self, *, volume: float = 1.0) -> Image.Image:
        """The drawing as RGBA, lit from the upper left; `volume` 0 leaves it flat."""
        whole = self._colour.copy()
        whole.putalpha(self._mask)
        small = whole.reduce(SUPERSAMPLING)
        lit = np.asarray(small, np.float32)
        lit = np.dstack([lit[..., :3] * (1 + volume * self._light(small.size)[..., None]), lit[..., 3]])
        return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))

    def _light(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """How much brighter each pixel of the finished sprite is, as a share of its colour."""
        # A blurred mask, taken from two sides, is bright where a round body would face the light.
        quarter = self._mask.reduce(4)
        blurred = quarter.filter(ImageFilter.GaussianBlur(self._unit / 4 * 0.05))
        shift = max(1, round(self._unit / 4 * 0.03))
        towards = np.asarray(ImageChops.offset(blurred, shift, shift), np.float32)
        away = np.asarray(ImageChops.offset(blurred, -shift, -shift), np.float32)
        light = (towards - away) / 255 * 0.3 + np.linspace(0.07, -0.12, len(towards), dtype=np.float32)[:, None]
        return np.asarray(Image.fromarray(light).resize(size, Image.Resampling.BILINEAR))


def smooth(points: Sequence[Point], steps: int = 10) -> list[Point]:
    """Points on a closed Catmull-Rom curve through `points`."""
    knots = np.asarray(points, np.float64)
    before, after, beyond = np.roll(knots, 1, axis=0), np.roll(knots, -1, axis=0), np.roll(knots, -2, axis=0)
    share = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (side[:, None, :] for side in (before, knots, after, beyond))
    curve = 0.5 * (
        2 * b + (c - a) * share + (2 * a - 5 * b + 4 * c - d) * share**2 + (3 * b - 3 * c + d - a) * share**3
    )
    return [(float(x), float(y)) for x, y in curve.reshape(-1, 2)]
