"""Owns the table of what can stand in a scene: how it is drawn, how tall it is, where it belongs, in which colours."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from world.creatures import draw_cat, draw_dog, draw_person
from world.palette import COLOURS, Colour, vary
from world.plants import draw_flower, draw_tree
from world.sprite import Sprite
from world.things import draw_ball, draw_house, draw_umbrella
from world.vehicles import draw_balloon, draw_bicycle, draw_boat, draw_bus, draw_car

Zone = Literal["road", "ground", "grass", "back", "water", "sky"]
Draw = Callable[[Sprite, Colour, np.random.Generator], None]

_PAINTS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "white", "black")
_PLAIN = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
_FUR = ("brown", "black", "white", "orange", "grey")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object; `height_m` is a little larger than life for small things, so that they can be seen."""

    label: str
    draw: Draw
    aspect: float
    height_m: float
    zone: Zone
    colours: tuple[str, ...]

    def sprite(self, colour: str, height_px: int, rng: np.random.Generator) -> Image.Image:
        """Draw one of this kind as RGBA, cropped to what is drawn, heading left or right."""
        sprite = Sprite(height_px, self.aspect)
        self.draw(sprite, vary(COLOURS[colour], rng), rng)
        drawn = sprite.finish()
        if rng.random() < 0.5:
            drawn = drawn.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return drawn.crop(drawn.getchannel("A").point(lambda alpha: 255 * (alpha > 96)).getbbox())


KINDS: dict[str, Kind] = {
    kind.label: kind
    for kind in (
        Kind("ball", draw_ball, 1.0, 0.6, "ground", _PLAIN),
        Kind("balloon", draw_balloon, 0.74, 4.0, "sky", _PLAIN),
        Kind(
            "bicycle", draw_bicycle, 1.65, 1.25, "ground", ("red", "yellow", "green", "teal", "blue", "pink", "black")
        ),
        Kind("boat", draw_boat, 0.95, 3.2, "water", ("red", "orange", "yellow", "green", "blue", "purple", "white")),
        Kind(
            "bus", draw_bus, 2.5, 2.3, "road", ("red", "orange", "yellow", "green", "teal", "blue", "purple", "white")
        ),
        Kind("car", draw_car, 2.35, 1.5, "road", _PAINTS),
        Kind("cat", draw_cat, 0.78, 0.85, "ground", _FUR),
        Kind("dog", draw_dog, 1.35, 0.95, "ground", _FUR),
        Kind("flower", draw_flower, 0.6, 0.9, "grass", ("red", "orange", "yellow", "blue", "purple", "pink", "white")),
        Kind(
            "house",
            draw_house,
            1.1,
            4.6,
            "back",
            ("red", "orange", "green", "teal", "blue", "purple", "brown", "black"),
        ),
        Kind("person", draw_person, 0.5, 1.75, "ground", _PAINTS),
        Kind("tree", draw_tree, 0.78, 4.2, "back", ("green", "green", "orange", "red", "yellow", "pink")),
        Kind("umbrella", draw_umbrella, 0.96, 2.3, "ground", _PLAIN),
    )
}

LABELS: tuple[str, ...] = tuple(KINDS)
