"""Owns the sketch: what a hand would draw of a scene from memory, dark strokes on white, without colour or care."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from world.backdrop import Size
from world.outline import Line, outline_of, parts_of
from world.scene import Placed, Scene

SUPERSAMPLING = 2
MOST_OBJECTS = 6
FORGOTTEN = 0.12
HAS_HORIZON = 0.5
# What is smaller than this share of the height is drawn as an outline only.
LEAST_SIDE_FOR_PARTS = 0.13


def draw_sketch(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Draw the larger objects of a scene, grey levels (mode L) in the size of its image.

    Each object, and the whole drawing, is a little off in place, size and proportion; lines waver, and some objects are
    forgotten. What stands in front hides what is behind.
    """
    size = scene.image.size
    paper = Image.new("L", (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING), 255)
    pen = _Pen(paper, size, rng)
    if scene.setting is not None and rng.random() < HAS_HORIZON:
        pen.stroke(_horizon(scene.setting.horizon * size[1], size[0], rng))
    for item in _remembered(scene.placed, rng):
        box = _loose_box(item, size, rng)
        outline = _on(box, outline_of(item.sprite), rng)
        pen.clear(outline)
        pen.stroke(outline)
        if min(item.sprite.size) >= LEAST_SIDE_FOR_PARTS * size[1]:
            for part in parts_of(item.sprite):
                pen.stroke(_on(box, part, rng))
    return paper.reduce(SUPERSAMPLING)


class _Pen:
    """Strokes that grow wider and narrower, on a paper that lies a little askew under the scene of `size`."""

    def __init__(self, paper: Image.Image, size: Size, rng: np.random.Generator) -> None:
        self._draw, self._rng = ImageDraw.Draw(paper), rng
        self._width = SUPERSAMPLING * size[1] / 240 * float(rng.uniform(1.4, 2.8))
        self._darkness = int(rng.integers(0, 80))
        self._middle = np.asarray(size) / 2
        self._scale = np.exp(rng.normal(0, 0.05) + rng.normal(0, 0.02, 2))
        self._shift = rng.normal(0, 0.02, 2) * size

    def stroke(self, line: Line) -> None:
        """Draw a line (P, 2), in pixels of the scene, in pieces of different pressure."""
        points = self._on_paper(line)
        for start in range(0, len(points) - 1, 6):
            width = self._width * self._rng.uniform(0.75, 1.3)
            self._draw.line(points[start : start + 7], fill=self._darkness, width=max(1, round(width)), joint="curve")

    def clear(self, outline: Line) -> None:
        """Rub out what lies inside."""
        self._draw.polygon(self._on_paper(outline), fill=255)

    def _on_paper(self, line: Line) -> list[tuple[float, float]]:
        placed = ((line - self._middle) * self._scale + self._middle + self._shift) * SUPERSAMPLING
        return [(float(x), float(y)) for x, y in placed]


def _remembered(placed: Sequence[Placed], rng: np.random.Generator) -> list[Placed]:
    """Some of the larger objects, at least one, in the order of painting."""
    largest = sorted(placed, key=lambda item: -item.sprite.width * item.sprite.height)
    chosen = largest[: int(rng.integers(3, MOST_OBJECTS + 1))]
    kept = [item for item in chosen if rng.random() >= FORGOTTEN] or chosen[:1]
    return sorted(kept, key=lambda item: item.foot)


def _loose_box(item: Placed, size: Size, rng: np.random.Generator) -> Line:
    """About where the object is: its corner and its size, (2, 2) in pixels."""
    sides = np.asarray(item.sprite.size, np.float64)
    middle = np.asarray((item.left, item.top)) + sides / 2 + rng.normal(0, 0.022, 2) * size
    sides *= np.exp(rng.normal(0.05, 0.1) + rng.normal(0, 0.05, 2))
    return np.stack([middle - sides / 2, sides])


def _on(box: Line, line: Line, rng: np.random.Generator) -> Line:
    """Bring a line of shares into a box, with a hand's unsteadiness."""
    corner, sides = box
    unsteady = np.stack([_wave(len(line), rng), _wave(len(line), rng)], axis=1)
    wavering: Line = corner + line * sides + unsteady * 0.016 * sides.mean()
    return wavering


def _horizon(height: float, width: int, rng: np.random.Generator) -> Line:
    across = np.linspace(rng.uniform(-0.02, 0.06), rng.uniform(0.94, 1.02), 40)
    return np.stack([across * width, height + width * 0.006 * _wave(40, rng)], axis=1)


def _wave(count: int, rng: np.random.Generator) -> Line:
    """A smooth line of noise that ends where it began, (count,) of about -1..1."""
    turn, rate = np.linspace(0, 2 * np.pi, count), np.arange(1, 6)[:, None]
    waves = np.sin(rate * turn + rng.uniform(0, 2 * np.pi, (5, 1))) * rng.normal(0, 1, (5, 1)) / rate**0.5
    wave: Line = waves.sum(axis=0)
    return wave
