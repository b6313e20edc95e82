"""Strokes: whatever a drawing is drawn with and on, DoodleNet sees the strokes that it learnt from."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from training.joint_space.sketch_tower import DRAWING_PX, Strokes

SIDE = 256


def drawing(*, width: int, size: float = 0.9, centre: tuple[float, float] = (0.5, 0.5)) -> Image.Image:
    """A house, dark on white."""
    image = Image.new("L", (SIDE, SIDE), 255)
    corners = [(-0.5, -0.1), (0, -0.5), (0.5, -0.1), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.1), (0.5, -0.1)]
    points = [(SIDE * (centre[0] + size * x), SIDE * (centre[1] + size * y)) for x, y in corners]
    ImageDraw.Draw(image).line(points, fill=0, width=width, joint="curve")
    return image


def on_paper(image: Image.Image) -> Image.Image:
    """The drawing in grey ink on textured paper, half of it in a shadow."""
    rng = np.random.default_rng(4)
    ink = 0.35 + 0.65 * np.asarray(image, np.float32) / 255
    shadow = 1 - 0.4 / (1 + np.exp(-(np.arange(SIDE) - 130) / 12))
    texture = rng.normal(0, 0.02, (SIDE, SIDE))
    pixels = (255 * np.clip(ink * 0.9 * shadow + texture, 0, 1)).astype(np.uint8)
    return Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.8))


def strokes(image: Image.Image) -> np.ndarray:
    """(28, 28) of 0..1."""
    pixels = torch.from_numpy(np.asarray(image.convert("RGB")).copy())[None]
    found: np.ndarray = Strokes()(pixels)[0, 0].numpy()
    return found


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    return float((first * second).sum() / math.sqrt((first**2).sum() * (second**2).sum()))


@pytest.mark.parametrize(
    "image",
    [
        drawing(width=2),
        drawing(width=7),
        drawing(width=22),
        drawing(width=3, size=0.4, centre=(0.3, 0.65)),
        on_paper(drawing(width=5)),
    ],
    ids=["thin", "medium", "thick", "small", "paper"],
)
def test_the_same_drawing_looks_the_same(image: Image.Image) -> None:
    """The pen, the size, the place and the paper of a drawing leave its strokes as they are."""
    assert likeness(strokes(image), strokes(drawing(width=14))) > 0.9


def test_strokes_fill_the_square_in_light_on_black() -> None:
    """The result has DoodleNet's form: 28 pixels a side, the strokes near 1, the rest 0."""
    found = strokes(drawing(width=4))

    assert found.shape == (DRAWING_PX, DRAWING_PX)
    assert found.max() > 0.95
    assert found.min() == 0
    assert 0.15 < found.mean() < 0.5


def test_blank_paper_has_no_strokes() -> None:
    """Texture is not taken for a drawing; the service refuses blank sketches before that."""
    assert strokes(Image.new("L", (SIDE, SIDE), 250)).max() == 0
