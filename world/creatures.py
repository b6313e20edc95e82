"""Owns the drawings of those that live in the world: person, dog, cat."""

import numpy as np

from world.palette import Colour, darker, lighter
from world.sprite import Point, Sprite

SKIN: tuple[Colour, ...] = ((250, 214, 182), (232, 184, 142), (188, 132, 92), (134, 88, 60), (96, 62, 44))
HAIR: tuple[Colour, ...] = ((44, 34, 32), (92, 58, 36), (156, 104, 56), (222, 184, 110), (150, 66, 40), (176, 176, 180))
TROUSERS: tuple[Colour, ...] = ((54, 70, 110), (70, 72, 80), (120, 98, 74), (44, 44, 52), (96, 116, 150))


def draw_person(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A person in a top of `colour`, standing or walking; unit box 0.5 x 1."""
    skin, hair, trousers = (group[rng.integers(len(group))] for group in (SKIN, HAIR, TROUSERS))
    stride, swing = rng.uniform(0.02, 0.09), rng.uniform(0.02, 0.1)
    is_skirt, is_long_haired = rng.random(2) < (0.3, 0.45)
    if is_long_haired:
        sprite.curve([(0.16, 0.1), (0.25, 0.01), (0.34, 0.1), (0.355, 0.24), (0.25, 0.27), (0.145, 0.24)], hair)
    sprite.line([(0.2, 0.26), (0.15 - swing * 0.6, 0.4), (0.13 - swing, 0.5)], 0.058, darker(colour, 0.22))
    sprite.ellipse((0.13 - swing, 0.52), 0.026, skin)
    legs = skin if is_skirt else trousers
    for hip, foot in ((0.22, 0.22 - stride), (0.28, 0.28 + stride)):
        sprite.line(
            [(hip, 0.54), (foot, 0.95)], 0.07 if is_skirt else 0.085, darker(legs, 0.12) if hip < 0.25 else legs
        )
        sprite.curve(
            [(foot - 0.04, 0.95), (foot + 0.02, 0.935), (foot + 0.085, 0.975), (foot + 0.08, 1.0), (foot - 0.04, 1.0)],
            (58, 44, 42),
        )
    if is_skirt:
        sprite.polygon([(0.18, 0.5), (0.32, 0.5), (0.38, 0.72), (0.12, 0.72)], trousers)
    torso = [
        (0.25, 0.205),
        (0.325, 0.235),
        (0.335, 0.36),
        (0.33, 0.54),
        (0.25, 0.56),
        (0.17, 0.54),
        (0.165, 0.36),
        (0.175, 0.235),
    ]
    sprite.curve(torso, colour)
    sprite.line([(0.31, 0.26), (0.345 + swing * 0.5, 0.4), (0.35 + swing, 0.49)], 0.058, lighter(colour, 0.1))
    sprite.ellipse((0.352 + swing, 0.51), 0.026, skin)
    sprite.box((0.225, 0.16, 0.275, 0.235), darker(skin, 0.12), radius=0.02)
    sprite.ellipse((0.25, 0.115), (0.066, 0.082), skin)
    sprite.curve(
        [(0.175, 0.12), (0.19, 0.04), (0.25, 0.015), (0.315, 0.045), (0.326, 0.115), (0.29, 0.075), (0.22, 0.07)], hair
    )
    for x in (0.232, 0.278):
        sprite.ellipse((x, 0.115), 0.0085, (44, 36, 36))
    sprite.line([(0.237, 0.158), (0.255, 0.164), (0.272, 0.157)], 0.008, darker(skin, 0.4))


def draw_dog(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A dog seen from the side, looking right; unit box 1.35 x 1."""
    back = darker(colour, 0.22)
    lift = rng.uniform(-0.1, 0.08)
    sprite.line([(0.24, 0.46), (0.11, 0.3 + lift), (0.07, 0.16 + lift)], 0.075, colour)
    for x in (0.36, 0.86):
        sprite.line([(x, 0.6), (x - 0.04, 0.8), (x, 0.955)], 0.095, back)
    sprite.curve(
        [
            (0.2, 0.46),
            (0.4, 0.38),
            (0.7, 0.38),
            (0.94, 0.34),
            (1.0, 0.52),
            (0.88, 0.7),
            (0.6, 0.64),
            (0.3, 0.68),
            (0.19, 0.6),
        ],
        colour,
    )
    for x in (0.26, 0.9):
        sprite.line([(x, 0.6), (x - 0.02, 0.8), (x + 0.01, 0.955)], 0.11, colour)
        sprite.ellipse((x + 0.04, 0.96), (0.075, 0.04), lighter(colour, 0.35))
    sprite.curve([(0.84, 0.46), (0.9, 0.22), (1.05, 0.22), (1.04, 0.46), (0.95, 0.56)], colour)
    sprite.ellipse((1.03, 0.21), (0.165, 0.155), colour)
    sprite.curve([(1.06, 0.18), (1.2, 0.19), (1.3, 0.24), (1.29, 0.32), (1.1, 0.35)], lighter(colour, 0.3))
    sprite.ellipse((1.29, 0.225), (0.042, 0.034), (34, 30, 34))
    sprite.line([(1.14, 0.3), (1.22, 0.315), (1.28, 0.3)], 0.012, darker(colour, 0.6), keeps_mask=True)
    sprite.ellipse((1.09, 0.155), 0.026, (30, 26, 28))
    sprite.ellipse((1.098, 0.148), 0.009, (250, 250, 250))
    sprite.curve(
        [(0.92, 0.08), (1.0, 0.07), (1.01, 0.22), (0.96, 0.37), (0.89, 0.34), (0.86, 0.2)], darker(colour, 0.4)
    )
    if rng.random() < 0.8:
        sprite.line([(0.89, 0.4), (0.99, 0.44), (1.07, 0.39)], 0.045, (206, 54, 52))
    if rng.random() < 0.4:
        sprite.curve([(0.42, 0.4), (0.62, 0.39), (0.6, 0.5), (0.46, 0.53)], darker(colour, 0.3), keeps_mask=True)


def draw_cat(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A cat that sits and looks at you; unit box 0.78 x 1."""
    stripe, pale = darker(colour, 0.35), lighter(colour, 0.5)
    tail: list[Point] = [(0.56, 0.92), (0.7, 0.86), (0.73, 0.7), (0.66, 0.58), (0.7, 0.5)]
    sprite.line([(x, y) for x, y in tail], 0.075, darker(colour, 0.12))
    sprite.curve(
        [(0.27, 0.42), (0.45, 0.42), (0.58, 0.66), (0.63, 0.9), (0.52, 0.985), (0.2, 0.985), (0.1, 0.9), (0.14, 0.66)],
        colour,
    )
    sprite.curve([(0.3, 0.5), (0.42, 0.5), (0.47, 0.72), (0.36, 0.86), (0.25, 0.72)], pale)
    for x in (0.27, 0.45):
        sprite.line([(x, 0.66), (x, 0.94)], 0.09, lighter(colour, 0.08))
        sprite.ellipse((x, 0.96), (0.07, 0.04), pale)
    for side in (-1, 1):
        sprite.polygon([(0.36 + side * 0.04, 0.13), (0.36 + side * 0.2, 0.0), (0.36 + side * 0.215, 0.24)], colour)
        sprite.polygon(
            [(0.36 + side * 0.09, 0.13), (0.36 + side * 0.175, 0.06), (0.36 + side * 0.185, 0.2)], (240, 166, 160)
        )
    sprite.ellipse((0.36, 0.27), (0.225, 0.19), colour)
    if rng.random() < 0.6:
        for x in (0.3, 0.36, 0.42):
            sprite.line([(x, 0.1), (0.36 + (x - 0.36) * 0.7, 0.17)], 0.018, stripe, keeps_mask=True)
        for y in (0.62, 0.72, 0.82):
            for side in (-1, 1):
                sprite.line([(0.36 + side * 0.25, y), (0.36 + side * 0.17, y + 0.02)], 0.018, stripe, keeps_mask=True)
    sprite.ellipse((0.36, 0.335), (0.1, 0.075), pale)
    eyes: Colour = ((104, 172, 84), (226, 176, 60), (92, 150, 206))[rng.integers(3)]
    for x in (0.27, 0.45):
        sprite.ellipse((x, 0.25), (0.045, 0.042), eyes)
        sprite.ellipse((x, 0.25), (0.014, 0.036), (24, 22, 26))
        sprite.ellipse((x + 0.012, 0.237), 0.009, (255, 255, 255))
    sprite.polygon([(0.335, 0.3), (0.385, 0.3), (0.36, 0.328)], (222, 120, 124))
    sprite.line(
        [(0.315, 0.345), (0.335, 0.365), (0.36, 0.345), (0.385, 0.365), (0.405, 0.345)], 0.01, darker(colour, 0.55)
    )
    for side in (-1, 1):
        for drop in (0.0, 0.035):
            sprite.line(
                [(0.36 + side * 0.09, 0.335 + drop), (0.36 + side * 0.27, 0.315 + drop * 1.8)],
                0.006,
                lighter(colour, 0.75),
            )
