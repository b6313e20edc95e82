"""Owns the drawings of things that people make: house, ball, umbrella."""

from itertools import pairwise

import numpy as np

from world.palette import Colour, darker, lighter
from world.sprite import Sprite

WALLS: tuple[Colour, ...] = ((246, 236, 214), (236, 216, 190), (226, 228, 230), (240, 224, 226), (214, 224, 214))
WOOD: Colour = (122, 82, 54)
PANE: Colour = (150, 196, 220)


def draw_house(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A house with roof and door of `colour`; unit box 1.1 x 1."""
    wall = WALLS[rng.integers(len(WALLS))]
    if rng.random() < 0.6:
        sprite.box((0.74, 0.06, 0.85, 0.36), darker((178, 96, 78), 0.1))
        sprite.box((0.725, 0.05, 0.865, 0.09), (120, 70, 60))
    sprite.box((0.13, 0.38, 0.97, 1.0), wall)
    sprite.box((0.13, 0.93, 0.97, 1.0), darker(wall, 0.3), keeps_mask=True)
    sprite.polygon([(0.55, 0.02), (1.08, 0.45), (0.02, 0.45)], colour)
    for row in np.linspace(0.12, 0.42, 6):
        reach = 0.53 * (float(row) - 0.02) / 0.43
        sprite.line(
            [(0.55 - reach, float(row)), (0.55 + reach, float(row))], 0.009, darker(colour, 0.28), keeps_mask=True
        )
    sprite.box((0.03, 0.44, 1.07, 0.475), darker(colour, 0.4))
    door = 0.46 if rng.random() < 0.5 else 0.22
    windows = (0.2, 0.72) if door > 0.4 else (0.46, 0.74)
    sprite.box((door, 0.64, door + 0.18, 1.0), lighter(WOOD, 0.3))
    sprite.box((door + 0.015, 0.66, door + 0.165, 1.0), darker(colour, 0.2))
    sprite.ellipse((door + 0.145, 0.84), 0.012, (240, 210, 120))
    for left in windows:
        _draw_window(sprite, left, 0.57)
    sprite.ellipse((0.55, 0.28), 0.066, (250, 248, 242))
    sprite.ellipse((0.55, 0.28), 0.052, PANE)


def _draw_window(sprite: Sprite, left: float, top: float) -> None:
    sprite.box((left, top, left + 0.17, top + 0.2), (250, 248, 242), radius=0.01)
    sprite.box((left + 0.014, top + 0.014, left + 0.156, top + 0.186), PANE)
    shine = [
        (left + 0.03, top + 0.186),
        (left + 0.09, top + 0.014),
        (left + 0.13, top + 0.014),
        (left + 0.07, top + 0.186),
    ]
    sprite.polygon(shine, (240, 248, 252), opacity=0.5, keeps_mask=True)
    sprite.line([(left + 0.085, top), (left + 0.085, top + 0.2)], 0.012, (250, 248, 242))
    sprite.line([(left, top + 0.1), (left + 0.17, top + 0.1)], 0.012, (250, 248, 242))
    sprite.box((left - 0.012, top + 0.195, left + 0.182, top + 0.222), WOOD, radius=0.008)


def draw_ball(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A beach ball with panels of `colour` and white; unit box 1 x 1."""
    sprite.ellipse((0.5, 0.5), 0.49, (246, 244, 238))
    start, hub = rng.uniform(0, 2 * np.pi), (0.42, 0.4)
    for index in range(0, 6, 2):
        turns = np.linspace(start + index * np.pi / 3, start + (index + 1) * np.pi / 3, 12)
        rim = [(0.5 + 0.49 * np.cos(turn), 0.5 + 0.49 * np.sin(turn)) for turn in turns]
        sprite.polygon([hub, *((float(x), float(y)) for x, y in rim)], colour, keeps_mask=True)
    sprite.ellipse(hub, 0.075, lighter(colour, 0.2), keeps_mask=True)
    sprite.ellipse((0.34, 0.27), (0.12, 0.085), (255, 255, 255), opacity=0.55, keeps_mask=True)


def draw_umbrella(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A parasol that stands in the ground; unit box 0.96 x 1."""
    second = lighter(colour, 0.8) if rng.random() < 0.7 else lighter(colour, 0.3)
    sprite.line([(0.48, 0.1), (0.48, 0.99)], 0.026, (236, 228, 212))
    sprite.box((0.38, 0.965, 0.58, 1.0), (150, 146, 140), radius=0.015)
    ribs = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 7)) * 0.455
    for index, (left, right) in enumerate(pairwise(ribs)):
        heights = np.linspace(0, 1, 12)
        girth = np.sin(np.arccos(1 - heights))
        edge = [(0.48 + float(left * width), 0.06 + 0.36 * float(y)) for width, y in zip(girth, heights, strict=True)]
        back = [(0.48 + float(right * width), 0.06 + 0.36 * float(y)) for width, y in zip(girth, heights, strict=True)]
        scallop = (0.48 + float(left + right) / 2, 0.375)
        sprite.polygon([*edge, scallop, *reversed(back)], colour if index % 2 == 0 else second)
    sprite.line([(0.48, 0.02), (0.48, 0.08)], 0.022, darker(colour, 0.3))
