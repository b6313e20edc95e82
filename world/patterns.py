"""Owns the patterns of a pedestrian's top: stripes, checks, dots and prints."""

import numpy as np

from world.cloth import BAND, edge
from world.figure import Figure, Joint, between, stroke
from world.palette import mix
from world.wardrobe import Garment


def paint_pattern(figure: Figure, upper: Garment, hem: float, loose: float) -> None:
    """Paint it on the torso, down to the `hem`, within cloth as wide as `loose` says."""
    board, accent = figure.board, upper.accent_shade
    inside = loose * 0.96
    match upper.pattern:
        case "striped":
            for down in np.arange(0.235, hem - 0.012, 0.046):
                band = [edge(figure, down + drop, share, inside) for drop, share in BAND]
                board.polygon(band, accent)
        case "checked":
            _checks(figure, upper, hem, inside)
        case "dotted":
            for row, down in enumerate(np.arange(0.225, hem - 0.01, 0.034)):
                for share in np.arange(-0.8, 0.81, 0.4) + (row % 2) * 0.2:
                    if abs(share) < 0.9:
                        board.ellipse(edge(figure, down, share, inside), figure.size(0.0085), accent)
        case "printed" if figure.across > 0.2:
            x, y = figure.at((0.0, 0.315, 0.07))
            width = figure.breadth(0.062, 0.0)
            corners = (x - width, y - figure.size(0.04), x + width, y + figure.size(0.045))
            board.box(corners, accent, radius=figure.size(0.012))
            board.ellipse((x, y), (width * 0.5, figure.size(0.022)), upper.shade)


def _checks(figure: Figure, upper: Garment, hem: float, inside: float) -> None:
    for down in np.arange(0.235, hem - 0.01, 0.05):
        band = [edge(figure, down + drop * 0.55, share, inside) for drop, share in BAND]
        figure.board.polygon(band, mix(upper.shade, upper.accent_shade, 0.75))
    for share in (-0.75, -0.38, 0.0, 0.38, 0.75):
        line = [edge(figure, down, share, inside) for down in (0.215, 0.3, 0.4, 0.5, hem - 0.008)]
        figure.board.line(line, figure.size(0.011), upper.accent_shade, keeps_mask=True)


def paint_sleeve(figure: Figure, upper: Garment, sleeve: tuple[Joint, Joint], elbow: Joint, width: float) -> None:
    """Carry stripes or checks on around a sleeve, which goes from `sleeve`'s first joint over the elbow to its last."""
    shoulder, end = sleeve
    for share in (0.25, 0.45, 0.65, 0.85):
        down = shoulder[1] + (end[1] - shoulder[1]) * share
        through = _at_height(shoulder, elbow, down) if down < elbow[1] else _at_height(elbow, end, down)
        x, y = figure.at(through)
        reach, half = figure.size(width * 0.43), figure.size(0.009)
        stroke(figure.board, [(x - reach, y), (x + reach, y)], [half * 2, half * 2], upper.accent_shade)


def _at_height(first: Joint, second: Joint, down: float) -> Joint:
    return between(first, second, (down - first[1]) / max(1e-6, second[1] - first[1]))
