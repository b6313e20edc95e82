"""Owns the composed scene: drawn objects on a photo, among cut-outs of other photos that are not objects.

What a detector meets besides drawn scenes is real texture, and things with an outline that it must leave alone.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from world.backdrop import Size
from world.kinds import KINDS
from world.random_crop import random_crop
from world.scene import Placed, Scene, fits, sprite_at, truth_of
from world.sprite import smooth

MOST_OBJECTS = 6
# Heights of objects and sides of cut-outs, as fractions of the image's height.
OBJECT_HEIGHTS = (0.1, 0.6)
CUT_OUT_SIDES = (0.15, 0.55)
MOST_TURNED_DEGREES = 25.0


def compose_scene(
    background: Image.Image, rng: np.random.Generator, size: Size, *, clutter: Sequence[Image.Image] = ()
) -> Scene:
    """Put none to six objects anywhere on a photo, at any size, in front of a cut-out of each photo of `clutter`."""
    image = background.resize(size, Image.Resampling.BILINEAR).convert("RGB")
    for photo in clutter:
        piece = cut_out(photo, round(_log_uniform(CUT_OUT_SIDES, rng) * size[1]), rng)
        middle = rng.uniform((0, 0), size)
        image.paste(piece, (round(middle[0] - piece.width / 2), round(middle[1] - piece.height / 2)), piece)
    placed: list[Placed] = []
    for _ in range(int(rng.integers(0, MOST_OBJECTS + 1))):
        kind = KINDS[str(rng.choice(list(KINDS)))]
        height = _log_uniform(OBJECT_HEIGHTS, rng) / max(1.0, kind.aspect**0.5)
        item = sprite_at(kind, float(rng.uniform(height * 0.9, 1.05)), height, size, rng)
        if fits(item, placed, size):
            placed.append(item)
    for item in placed:
        image.paste(item.sprite, (item.left, item.top), item.sprite)
    return Scene(image, truth_of(placed, size), None, tuple(placed))


def cut_out(photo: Image.Image, side_px: int, rng: np.random.Generator) -> Image.Image:
    """Cut a part out of a photo as RGBA: a card, a disc or a pebble, its longer side `side_px`, a little turned."""
    part = photo.convert("RGB").crop(random_crop(photo.size, rng))
    share = side_px / max(part.size)
    part = part.resize((max(8, round(part.width * share)), max(8, round(part.height * share))))
    part.putalpha(_mask(part.size, rng))
    turn = float(rng.uniform(-MOST_TURNED_DEGREES, MOST_TURNED_DEGREES))
    return part.rotate(turn, Image.Resampling.BILINEAR, expand=True)


def _mask(size: Size, rng: np.random.Generator) -> Image.Image:
    mask = Image.new("L", size)
    pen, corners = ImageDraw.Draw(mask), (1, 1, size[0] - 2, size[1] - 2)
    match rng.integers(3):
        case 0:
            pen.rounded_rectangle(corners, min(size) * float(rng.uniform(0, 0.2)), 255)
        case 1:
            pen.ellipse(corners, 255)
        case _:
            turns = np.linspace(0, 2 * np.pi, 8, endpoint=False)
            reach = rng.uniform(0.55, 0.95, 8) / 2
            knots = [(0.5 + r * np.cos(turn), 0.5 + r * np.sin(turn)) for r, turn in zip(reach, turns, strict=True)]
            pen.polygon([(x * size[0], y * size[1]) for x, y in smooth(knots)], 255)
    return mask.filter(ImageFilter.GaussianBlur(0.8))


def _log_uniform(between: tuple[float, float], rng: np.random.Generator) -> float:
    low, high = np.log(between)
    return float(np.exp(rng.uniform(low, high)))
