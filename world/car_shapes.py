"""Owns the flat outlines that a car's face is made of, and how to cut and fill them; boxes are 0..1 upward, or -1..1 across."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Flat = NDArray[np.float64]
Corners = Sequence[tuple[float, float]]

# Across -1..1 (0 is the middle of the car), upward 0..1.
_GRILLES: dict[str, list[Corners]] = {
    "trapezoid": [((-1, 1), (1, 1), (0.72, 0), (-0.72, 0))],
    "hexagon": [((-0.82, 1), (0.82, 1), (1, 0.52), (0.66, 0), (-0.66, 0), (-1, 0.52))],
    "shield": [((-0.72, 1), (0.72, 1), (0.8, 0.6), (0.5, 0.2), (0, 0), (-0.5, 0.2), (-0.8, 0.6))],
    "kidneys": [((0.07, 0.94), (0.8, 1), (0.98, 0.62), (0.72, 0.06), (0.16, 0)), ()],
    "band": [((-1, 0.92), (1, 0.92), (0.97, 0.52), (0.88, 0.46), (-0.88, 0.46), (-0.97, 0.52))],
    "tombstone": [((-0.5, 0.92), (-0.36, 1), (0.36, 1), (0.5, 0.92), (0.62, 0), (-0.62, 0))],
    "mouth": [((-0.86, 0.74), (-0.5, 0.84), (0.5, 0.84), (0.86, 0.74), (1, 0.3), (0.8, 0), (-0.8, 0), (-1, 0.3))],
    "split": [((-0.94, 1), (0.94, 1), (0.9, 0.66), (-0.9, 0.66)), ((-0.84, 0.5), (0.84, 0.5), (0.66, 0), (-0.66, 0))],
    "waterfall": [((-0.4, 1), (0.4, 1), (0.52, 0.86), (0.46, 0), (-0.46, 0), (-0.52, 0.86))],
}
# Across 0 (towards the middle) to 1 (the outer end).
_LAMPS: dict[str, Corners] = {
    "wedge": ((0, 0.12), (0.06, 0.42), (0.55, 0.8), (1, 1), (0.98, 0.5), (0.78, 0.08), (0.3, 0)),
    "slim": ((0, 0.36), (0.04, 0.56), (0.6, 0.76), (1, 0.82), (0.98, 0.5), (0.5, 0.3)),
    "block": ((0.04, 0.02), (0, 0.12), (0.02, 0.92), (0.1, 1), (0.94, 0.98), (1, 0.86), (0.96, 0.1), (0.86, 0)),
    "boomerang": ((0, 0.5), (0.05, 0.72), (0.62, 0.92), (1, 1), (0.98, 0.3), (0.86, 0), (0.72, 0.04), (0.66, 0.42)),
}
_INTAKES: dict[str, list[Corners]] = {
    "wide": [((-1, 0.86), (1, 0.86), (0.94, 0.06), (-0.94, 0.06))],
    "trapezoid": [((-0.7, 1), (0.7, 1), (1, 0), (-1, 0))],
    "smile": [((-1, 1), (-0.6, 0.66), (0.6, 0.66), (1, 1), (0.82, 0.14), (0.4, 0), (-0.4, 0), (-0.82, 0.14))],
    "split": [((-0.3, 0.9), (0.3, 0.9), (0.36, 0.1), (-0.36, 0.1)), ((0.48, 1), (1, 0.9), (0.9, 0.1), (0.56, 0)), ()],
    "slot": [((-1, 0.62), (1, 0.62), (0.92, 0.24), (-0.92, 0.24))],
    "deep": [((-0.84, 1), (0.84, 1), (1, 0.6), (0.74, 0), (-0.74, 0), (-1, 0.6))],
}
_FOGS: dict[str, list[Corners]] = {
    "slit": [((-1, 0.34), (1, 0.66), (1, 0.42), (-1, 0.1))],
    "scoop": [((-0.9, 0.2), (-0.5, 1), (0.9, 0.86), (1, 0.1), (0, 0))],
    "triangle": [((-0.9, 0), (0.9, 1), (1, 0))],
    "stack": [
        ((-0.8, 0.68), (0.9, 0.74), (0.9, 1), (-0.8, 0.94)),
        ((-0.8, 0.2), (0.9, 0.26), (0.9, 0.52), (-0.8, 0.46)),
    ],
    "round": [],
    "none": [],
}
_BADGES: dict[str, Corners] = {
    "diamond": ((0, 1), (0.72, 0), (0, -1), (-0.72, 0)),
    "triangle": ((0, 1), (1, -0.8), (-1, -0.8)),
    "square": ((-0.8, 0.8), (0.8, 0.8), (0.8, -0.8), (-0.8, -0.8)),
    "shield": ((-0.75, 0.9), (0.75, 0.9), (0.75, 0), (0, -1), (-0.75, 0)),
    "wings": ((-2, 0.5), (0, 0.2), (2, 0.5), (1.2, -0.3), (0, -0.6), (-1.2, -0.3)),
    "cross": tuple(
        (x * side, y)
        for side, points in (
            (1, ((0.3, 1), (0.3, 0.3), (1, 0.3), (1, -0.3), (0.3, -0.3), (0.3, -1))),
            (-1, ((0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3), (0.3, 1))),
        )
        for x, y in points
    ),
}


def grille(kind: str) -> list[Flat]:
    """The openings of a grille."""
    return [ellipse(0, 0.5, 1, 0.5)] if kind == "oval" else _with_mirrored(_GRILLES[kind])


def intake(kind: str) -> list[Flat]:
    """The openings of the bumper."""
    return _with_mirrored(_INTAKES[kind])


def fog(kind: str) -> list[Flat]:
    """One side's fog lamp, across -1..1."""
    return [ellipse(0, 0.5, 0.6, 0.5)] if kind == "round" else [np.array(corners, float) for corners in _FOGS[kind]]


def lamp(kind: str) -> list[Flat]:
    """One side's headlamp."""
    match kind:
        case "round":
            return [ellipse(0.55, 0.5, 0.42, 0.5)]
        case "twin":
            return [ellipse(0.26, 0.45, 0.25, 0.4), ellipse(0.76, 0.52, 0.25, 0.42)]
        case "almond":
            turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            bent = 0.42 * np.sin(turn) * (1 - 0.55 * np.abs(np.cos(turn)) ** 3)
            return [np.stack((0.5 + 0.5 * np.cos(turn), 0.5 + bent + 0.1 * np.cos(turn)), axis=1)]
        case "drop":
            turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            girth = 0.5 * np.sin(turn) * (0.62 - 0.38 * np.cos(turn))
            return [np.stack((0.5 - 0.5 * np.cos(turn), 0.5 + girth * 1.25), axis=1)]
        case _:
            return [np.array(_LAMPS[kind], float)]


def badge(kind: str) -> list[Flat]:
    """A badge around 0, about 1 in radius."""
    match kind:
        case "circle":
            return [ellipse(0, 0, 1, 1)]
        case "oval":
            return [ellipse(0, 0, 1.5, 0.8)]
        case "rings":
            return [ellipse(at, 0, 0.62, 0.62) for at in (-1.4, -0.47, 0.47, 1.4)]
        case "star":
            turn = np.linspace(0, 2 * np.pi, 10, endpoint=False) + np.pi / 2
            radius = np.where(np.arange(10) % 2, 0.45, 1.15)
            return [np.stack((radius * np.cos(turn), radius * np.sin(turn)), axis=1)]
        case _:
            return [np.array(_BADGES[kind], float)]


def ellipse(x: float, y: float, radius_x: float, radius_y: float, corners: int = 22) -> Flat:
    """An oval around (x, y)."""
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack((x + radius_x * np.cos(turn), y + radius_y * np.sin(turn)), axis=1)


def bent(outline: Flat, steps: int = 4) -> Flat:
    """The same outline with points between its corners, so that it can follow a curved surface."""
    share = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    return (outline[:, None] + (np.roll(outline, -1, axis=0) - outline)[:, None] * share).reshape(-1, 2)


def grown(outline: Flat, by: float) -> Flat:
    """Larger (or, below 0, smaller) by about as much on every side."""
    middle = (outline.min(axis=0) + outline.max(axis=0)) / 2
    half = np.maximum((outline.max(axis=0) - outline.min(axis=0)) / 2, 1e-6)
    larger: Flat = middle + (outline - middle) * (1 + by / half)
    return larger


def span(outline: Flat, at: float, axis: int) -> tuple[float, float] | None:
    """Between which values of the other axis a straight line at `place` of `axis` runs inside; None if it does not."""
    start, end = outline, np.roll(outline, -1, axis=0)
    crosses = (start[:, axis] - at) * (end[:, axis] - at) < 0
    if crosses.sum() < 2:
        return None
    a, b = start[crosses], end[crosses]
    share = (at - a[:, axis]) / (b[:, axis] - a[:, axis])
    other = a[:, 1 - axis] + share * (b[:, 1 - axis] - a[:, 1 - axis])
    return float(other.min()), float(other.max())


def bars(outline: Flat, count: int, thickness: float, axis: int) -> list[Flat]:
    """`count` stripes across an opening, each a share `thickness` of their distance: level for axis 1, upright for 0."""
    low, high = outline[:, axis].min(), outline[:, axis].max()
    step = (high - low) / count
    stripes = []
    for at in low + step * (np.arange(count) + 0.5):
        ends = span(outline, float(at), axis)
        if ends is not None:
            start, end = at - step * thickness / 2, at + step * thickness / 2
            corners = np.array([(ends[0], start), (ends[1], start), (ends[1], end), (ends[0], end)])
            stripes.append(corners if axis else corners[:, ::-1])
    return stripes


def _with_mirrored(outlines: Sequence[Corners]) -> list[Flat]:
    """Outlines as arrays; an empty one stands for the mirror image of the one before."""
    arrays: list[Flat] = []
    for corners in outlines:
        arrays.append(np.array(corners, float) if corners else arrays[-1] * (-1, 1))
    return arrays
