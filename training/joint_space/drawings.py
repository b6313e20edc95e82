"""Owns drawings of QuickDraw as people hand them in: drawn on a board, with any pen, small, or as a photo of paper."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE_PX = 256
# Drawn larger and then shrunk, so that lines are smooth.
_DETAIL = 2
_MARGIN = 0.06


@dataclass(frozen=True, slots=True)
class Drawing:
    """What someone drew when asked for `kind`: strokes, each (2, points) of 0..255."""

    kind: str
    strokes: Sequence[np.ndarray]

    def rendered(self, *, width_px: float, size: float = 1.0, offset: tuple[float, float] = (0, 0)) -> Image.Image:
        """Dark on white, `size` of the square large, `offset` of its side from the middle."""
        side = SIDE_PX * _DETAIL
        image = Image.new("L", (side, side), 255)
        pen, width = ImageDraw.Draw(image), max(1, round(width_px * _DETAIL))
        points = np.concatenate([stroke.T for stroke in self.strokes])
        least, most = points.min(axis=0), points.max(axis=0)
        scale = side * (1 - 2 * _MARGIN) * size / max(float((most - least).max()), 1)
        origin = side / 2 - (least + most) / 2 * scale + np.array(offset) * side
        for stroke in self.strokes:
            line = [(float(x), float(y)) for x, y in stroke.T * scale + origin]
            if len(line) > 1:
                pen.line(line, fill=0, width=width, joint="curve")
            for x, y in line:
                pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=0)
        return image.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)


def drawings(folder: Path, rows: Sequence[int]) -> Iterator[Drawing]:
    """These rows of each kind in `folder`, which is that of QuickDraw's ndjson files."""
    for path in sorted((folder / "data").glob("*.ndjson")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for row in rows:
            strokes = [np.array(stroke[:2], float) for stroke in json.loads(lines[row])["drawing"]]
            yield Drawing(path.stem, strokes)


def on_paper(drawing: Image.Image, rng: np.random.Generator) -> Image.Image:
    """As a photo of pen on paper: grey ink, texture, a shadow, perspective, blur."""
    side = drawing.width
    ink = rng.uniform(0.15, 0.45)
    light = ink + (1 - ink) * np.asarray(drawing, np.float32) / 255
    down, right = np.mgrid[0:side, 0:side] / side - 0.5
    angle, edge = rng.uniform(0, 2 * np.pi), rng.uniform(-0.2, 0.2)
    shadow = rng.uniform(0.2, 0.5) / (1 + np.exp(-12 * (right * np.cos(angle) + down * np.sin(angle) + edge)))
    fibres = rng.normal(0, 0.02, (side, side))
    pixels = np.clip(light * rng.uniform(0.75, 0.95) * (1 - shadow) + fibres, 0, 1)
    corners = np.array([(0, 0), (0, side), (side, side), (side, 0)]) + rng.uniform(-0.08, 0.08, (4, 2)) * side
    seen = Image.fromarray((pixels * 255).astype(np.uint8)).transform(
        (side, side),
        Image.Transform.QUAD,
        tuple(corners.flatten()),
        Image.Resampling.BILINEAR,
        fillcolor=int(pixels.mean() * 255),
    )
    return seen.filter(ImageFilter.GaussianBlur(0.8))


def encoded(drawing: Image.Image) -> bytes:
    """The drawing as a PNG."""
    written = io.BytesIO()
    drawing.save(written, "PNG")
    return written.getvalue()
