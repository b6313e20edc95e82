"""Owns the drawings of what grows: tree and flower."""

import numpy as np

from world.palette import Colour, darker, lighter, vary
from world.sprite import Sprite

BARK: Colour = (112, 78, 52)


def draw_tree(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A tree with a crown of `colour`, round or, where it is green, a conifer; unit box 0.78 x 1."""
    if colour[1] == max(colour) and rng.random() < 0.5:
        _draw_conifer(sprite, colour)
    else:
        _draw_round_tree(sprite, colour, rng)


def _draw_conifer(sprite: Sprite, colour: Colour) -> None:
    sprite.box((0.345, 0.8, 0.435, 1.0), BARK)
    for index, (top, width) in enumerate(((0.46, 0.37), (0.3, 0.31), (0.15, 0.24), (0.02, 0.16))):
        bottom = top + 0.36 - 0.03 * index
        shade = darker(colour, 0.3 - 0.1 * index)
        skirt = [
            (0.39 + width * side, bottom + (0.025 if step % 2 else 0.0))
            for step, side in enumerate(np.linspace(1, -1, 9))
        ]
        sprite.polygon([(0.39, top), *skirt], shade)
        sprite.polygon(
            [(0.39, top), (0.39 - width * 0.25, bottom), (0.39 - width, bottom)],
            lighter(shade, 0.12),
            opacity=0.6,
            keeps_mask=True,
        )


def _draw_round_tree(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    sprite.polygon([(0.345, 0.55), (0.435, 0.55), (0.45, 0.9), (0.5, 1.0), (0.28, 1.0), (0.33, 0.9)], BARK)
    sprite.line([(0.4, 0.68), (0.52, 0.52)], 0.035, BARK)
    sprite.line([(0.38, 0.72), (0.26, 0.55)], 0.03, darker(BARK, 0.15))
    turns = np.linspace(0, 2 * np.pi, 9, endpoint=False) + rng.uniform(0, 1)
    clumps = [(0.39 + 0.22 * np.cos(turn), 0.35 + 0.19 * np.sin(turn), rng.uniform(0.125, 0.15)) for turn in turns]
    clumps.append((0.39, 0.33, 0.2))
    for x, y, radius in sorted(clumps, key=lambda clump: -clump[1]):
        sprite.ellipse((float(x), float(y)), float(radius), darker(colour, 0.05 + 0.35 * max(0.0, float(y) - 0.2)))
    for x, y, radius in clumps:
        sprite.ellipse(
            (float(x) - 0.03, float(y) - 0.04),
            float(radius) * 0.62,
            lighter(colour, 0.16),
            opacity=0.45,
            keeps_mask=True,
        )
    for _ in range(50):
        turn, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform())
        spot = (0.39 + 0.3 * reach * np.cos(turn), 0.34 + 0.27 * reach * np.sin(turn))
        shade = lighter(colour, 0.35) if rng.random() < 0.6 else darker(colour, 0.3)
        sprite.ellipse(spot, (0.02, 0.014), shade, opacity=0.55, keeps_mask=True)


def draw_flower(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A flower on its stem, a daisy or a tulip; unit box 0.6 x 1."""
    stem, leaf = (74, 138, 66), (88, 160, 76)
    bend = rng.uniform(-0.05, 0.05)
    sprite.line([(0.3, 0.3), (0.3 + bend, 0.6), (0.3, 0.995)], 0.032, stem)
    sprite.curve([(0.3, 0.92), (0.14, 0.78), (0.06, 0.58), (0.17, 0.66), (0.28, 0.8)], leaf)
    sprite.curve([(0.3, 0.96), (0.42, 0.8), (0.55, 0.62), (0.48, 0.84), (0.36, 0.96)], darker(leaf, 0.12))
    if rng.random() < 0.35:
        _draw_tulip(sprite, colour)
    else:
        _draw_daisy(sprite, colour, rng)


def _draw_tulip(sprite: Sprite, colour: Colour) -> None:
    sprite.curve(
        [(0.12, 0.1), (0.2, 0.22), (0.3, 0.04), (0.4, 0.22), (0.48, 0.1), (0.48, 0.32), (0.3, 0.45), (0.12, 0.32)],
        darker(colour, 0.14),
    )
    sprite.curve([(0.3, 0.04), (0.41, 0.25), (0.3, 0.45), (0.19, 0.25)], lighter(colour, 0.1))


def _draw_daisy(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    petals = int(rng.integers(7, 11))
    start = rng.uniform(0, 1)
    for index in range(petals):
        turn = start + index * 2 * np.pi / petals
        along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
        knots = (0.05 * along, 0.15 * along + 0.062 * across, 0.262 * along, 0.15 * along - 0.062 * across)
        sprite.curve(
            [(0.3 + float(x), 0.275 + float(y)) for x, y in knots], vary(lighter(colour, 0.12 * (index % 2)), rng, 5)
        )
    sprite.ellipse((0.3, 0.275), 0.085, (206, 142, 40) if colour[2] > 90 or colour[1] < 150 else (124, 78, 40))
    sprite.ellipse((0.285, 0.26), 0.05, (250, 216, 110), opacity=0.6, keeps_mask=True)
