"""Owns the drawings of things that people travel in: car, bus, bicycle, boat, balloon."""

import numpy as np

from world.palette import Colour, darker, lighter, mix
from world.sprite import Point, Sprite

GLASS: Colour = (164, 204, 226)
RUBBER: Colour = (40, 41, 48)
STEEL: Colour = (196, 200, 206)


def wheel(sprite: Sprite, centre: Point, radius: float) -> None:
    """A tyre around five spokes."""
    sprite.ellipse(centre, radius, RUBBER)
    sprite.ellipse(centre, radius * 0.62, STEEL)
    sprite.ellipse(centre, radius * 0.5, (150, 154, 162))
    for turn in np.linspace(0, 2 * np.pi, 5, endpoint=False):
        tip = (centre[0] + radius * 0.45 * np.cos(turn), centre[1] + radius * 0.45 * np.sin(turn))
        sprite.line([centre, tip], radius * 0.14, STEEL)
    sprite.ellipse(centre, radius * 0.14, (90, 92, 100))


def draw_car(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A car seen from the side, heading right; unit box 2.35 x 1."""
    roof = rng.uniform(0.0, 0.08)
    cabin = [
        (0.42, 0.46),
        (0.66, 0.08 + roof),
        (0.95, 0.03 + roof),
        (1.35, 0.03 + roof),
        (1.62, 0.14 + roof),
        (1.88, 0.46),
    ]
    sprite.polygon(_rounded(cabin), colour)
    body = [
        (0.06, 0.52),
        (0.2, 0.45),
        (0.8, 0.41),
        (1.8, 0.42),
        (2.18, 0.5),
        (2.31, 0.6),
        (2.32, 0.8),
        (2.2, 0.86),
        (0.12, 0.86),
        (0.03, 0.76),
    ]
    sprite.curve(body, colour)
    rear = [(0.6, 0.43), (0.76, 0.14 + roof), (1.1, 0.1 + roof), (1.1, 0.43)]
    front = [(1.17, 0.43), (1.17, 0.1 + roof), (1.36, 0.1 + roof), (1.55, 0.18 + roof), (1.74, 0.43)]
    for pane in (rear, front):
        sprite.polygon(pane, GLASS)
        left = min(x for x, _ in pane)
        shine = [(left + 0.14, 0.43), (left + 0.3, 0.12 + roof), (left + 0.4, 0.12 + roof), (left + 0.24, 0.43)]
        sprite.polygon(shine, (236, 246, 252), opacity=0.5, keeps_mask=True)
    sprite.line([(1.135, 0.45), (1.15, 0.8)], 0.012, darker(colour, 0.35), keeps_mask=True)
    sprite.line([(0.12, 0.58), (2.2, 0.57)], 0.016, lighter(colour, 0.4), keeps_mask=True)
    sprite.box((0.98, 0.52, 1.09, 0.55), darker(colour, 0.4), radius=0.01)
    sprite.box((0.06, 0.77, 2.3, 0.86), darker(colour, 0.45), radius=0.04, keeps_mask=True)
    sprite.ellipse((2.2, 0.59), (0.07, 0.05), (255, 246, 200))
    sprite.box((0.05, 0.54, 0.13, 0.63), (196, 40, 40), radius=0.02)
    for x in (0.52, 1.84):
        sprite.ellipse((x, 0.8), 0.225, darker(colour, 0.65), keeps_mask=True)
        wheel(sprite, (x, 0.8), 0.195)


def draw_bus(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A city bus seen from the side, heading right; unit box 2.5 x 1."""
    sprite.box((0.03, 0.05, 2.47, 0.88), colour, radius=0.09)
    sprite.box((0.03, 0.05, 2.47, 0.13), lighter(colour, 0.45), radius=0.06, keeps_mask=True)
    sprite.box((0.1, 0.2, 2.46, 0.5), (54, 66, 84), radius=0.05)
    panes = int(rng.integers(4, 6))
    width = 1.72 / panes
    for index in range(panes):
        left = 0.13 + index * width
        sprite.box((left, 0.22, left + width - 0.04, 0.48), GLASS, radius=0.025)
        shine = [(left + 0.06, 0.48), (left + 0.16, 0.22), (left + 0.23, 0.22), (left + 0.13, 0.48)]
        sprite.polygon(shine, (236, 246, 252), opacity=0.5, keeps_mask=True)
    sprite.box((1.88, 0.22, 2.1, 0.8), (54, 66, 84), radius=0.02)
    for left in (1.895, 1.995):
        sprite.box((left, 0.24, left + 0.09, 0.78), GLASS, radius=0.015)
    sprite.box((2.16, 0.22, 2.45, 0.52), GLASS, radius=0.03)
    sprite.box((0.03, 0.62, 1.86, 0.67), lighter(colour, 0.7), keeps_mask=True)
    sprite.box((0.03, 0.8, 2.47, 0.88), darker(colour, 0.5), radius=0.03, keeps_mask=True)
    sprite.box((2.4, 0.66, 2.46, 0.74), (255, 246, 200), radius=0.02)
    sprite.box((0.04, 0.66, 0.08, 0.76), (196, 40, 40), radius=0.015)
    sprite.box((2.02, 0.08, 2.36, 0.155), (36, 38, 46), radius=0.02)
    for x in np.linspace(2.06, 2.3, 6):
        sprite.ellipse((float(x), 0.118), 0.014, (255, 190, 70))
    for x in (0.5, 1.68):
        sprite.ellipse((x, 0.85), 0.165, darker(colour, 0.7), keeps_mask=True)
        wheel(sprite, (x, 0.855), 0.14)


def draw_bicycle(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A bicycle seen from the side, heading right; unit box 1.65 x 1."""
    back, front, crank = (0.34, 0.67), (1.3, 0.67), (0.74, 0.7)
    seat, head = (0.6, 0.26), (1.14, 0.26)
    for centre in (back, front):
        sprite.ring(centre, 0.29, 0.05, RUBBER)
        sprite.ring(centre, 0.255, 0.018, STEEL)
        for turn in np.linspace(0, 2 * np.pi, 9, endpoint=False) + rng.uniform(0, 1):
            rim = (centre[0] + 0.25 * np.cos(turn), centre[1] + 0.25 * np.sin(turn))
            sprite.line([centre, rim], 0.01, (176, 180, 188))
    sprite.line([back, crank, head, seat, crank], 0.05, colour)
    sprite.line([back, (seat[0] + 0.03, 0.36)], 0.034, colour)
    sprite.line([front, (1.1, 0.14)], 0.05, colour)
    sprite.line([seat, (0.57, 0.16)], 0.034, STEEL)
    sprite.curve([(0.42, 0.12), (0.56, 0.1), (0.7, 0.13), (0.66, 0.17), (0.54, 0.19), (0.44, 0.18)], RUBBER)
    sprite.line([(1.1, 0.14), (1.13, 0.09), (1.26, 0.09), (1.29, 0.15)], 0.036, RUBBER)
    sprite.ellipse(crank, 0.075, darker(colour, 0.5))
    sprite.ellipse(crank, 0.04, STEEL)
    sprite.line([(0.67, 0.81), crank, (0.8, 0.6)], 0.026, STEEL)
    for pedal in ((0.67, 0.81), (0.8, 0.6)):
        sprite.line([(pedal[0] - 0.045, pedal[1]), (pedal[0] + 0.045, pedal[1])], 0.03, RUBBER)


def draw_boat(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A sailing boat; unit box 0.95 x 1."""
    mast = 0.5 + rng.uniform(-0.03, 0.03)
    sprite.line([(mast, 0.04), (mast, 0.8)], 0.02, (122, 84, 54))
    main = [(mast - 0.02, 0.06), (mast - 0.02, 0.72), (0.08, 0.7), (mast * 0.62, 0.42)]
    jib = [(mast + 0.025, 0.13), (0.87, 0.7), (mast + 0.025, 0.72)]
    sail = mix((250, 247, 238), colour, float(rng.choice([0.0, 0.0, 0.25])))
    sprite.polygon(main, sail)
    sprite.polygon(jib, darker(sail, 0.1))
    for height in (0.3, 0.5):
        sprite.line(
            [(mast - 0.02, height), (mast - 0.6 * height, height + 0.03)], 0.008, darker(sail, 0.2), keeps_mask=True
        )
    sprite.polygon([(mast, 0.02), (mast + 0.13, 0.05), (mast, 0.08)], colour)
    hull = [(0.02, 0.78), (0.93, 0.76), (0.9, 0.86), (0.8, 0.97), (0.2, 0.97), (0.1, 0.9)]
    sprite.polygon(_rounded(hull), colour)
    sprite.line([(0.05, 0.795), (0.91, 0.775)], 0.025, lighter(colour, 0.65), keeps_mask=True)
    sprite.box((0.0, 0.925, 0.95, 1.0), darker(colour, 0.5), keeps_mask=True)
    for x in (0.34, 0.5, 0.66):
        sprite.ellipse((x, 0.86), 0.022, (248, 244, 230))


def draw_balloon(sprite: Sprite, colour: Colour, rng: np.random.Generator) -> None:
    """A hot-air balloon with gores of two colours; unit box 0.74 x 1."""
    second = lighter(colour, 0.75) if rng.random() < 0.7 else (250, 226, 150)
    heights = np.linspace(0, 1, 40)
    dome = np.sqrt(1 - (1 - np.minimum(heights / 0.45, 1)) ** 2)
    girth = dome * np.cos(np.maximum(heights - 0.45, 0) / 0.55 * 1.35) ** 0.85
    outline = 0.03 + heights * 0.68
    gores = 8
    for index in range(gores):
        # Gores grow narrow towards the rim, as on a globe.
        left, right = (np.sin((index + side) / gores * np.pi - np.pi / 2) * 0.355 for side in (0, 1))
        edge = [(0.37 + float(left * width), float(y)) for width, y in zip(girth, outline, strict=True)]
        back = [(0.37 + float(right * width), float(y)) for width, y in zip(girth, outline, strict=True)]
        sprite.polygon([*edge, *reversed(back)], colour if index % 2 else second)
    for x in (0.315, 0.425):
        sprite.line([(x - 0.01 if x < 0.37 else x + 0.01, 0.7), (x, 0.87)], 0.008, (96, 72, 52))
    sprite.box((0.3, 0.86, 0.44, 0.985), (150, 104, 62), radius=0.02)
    sprite.box((0.29, 0.855, 0.45, 0.885), (112, 74, 44), radius=0.012)
    for y in (0.915, 0.945):
        sprite.line([(0.305, y), (0.435, y)], 0.006, (112, 74, 44), keeps_mask=True)


def _rounded(corners: list[Point], share: float = 0.18) -> list[Point]:
    """Cut each corner of a polygon into a short curve."""
    points: list[Point] = []
    for before, corner, after in zip(corners[-1:] + corners[:-1], corners, corners[1:] + corners[:1], strict=True):
        start, end = (
            tuple(c + (o - c) * share for c, o in zip(corner, other, strict=True)) for other in (before, after)
        )
        for step in np.linspace(0, 1, 5):
            x, y = (
                (1 - step) ** 2 * s + 2 * step * (1 - step) * c + step**2 * e
                for s, c, e in zip(start, corner, end, strict=True)
            )
            points.append((float(x), float(y)))
    return points
