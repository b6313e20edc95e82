"""Owns how cloth hangs on a pedestrian: tubes around limbs, skirts that swing, and places on the torso."""

from collections.abc import Sequence

from world.figure import Figure, Joint
from world.palette import Colour, darker
from world.sprite import Point

# A stripe across the torso: by how much each corner lies lower, and on which side.
BAND = ((0.0, -1.0), (0.0, 1.0), (0.022, 1.0), (0.022, -1.0))


def tube(figure: Figure, joints: Sequence[Joint], widths: Sequence[float], cloth: Colour) -> None:
    """A sleeve or a trouser leg; a darker edge parts it from what is behind it of the same cloth."""
    figure.limb(joints, [width + 0.009 for width in widths], darker(cloth, 0.28))
    figure.limb(joints, widths, cloth)


def flared(figure: Figure, cloth: Colour, *, top: float, hem: float, flare: float, loose: float = 1.02) -> None:
    """Cloth that falls freely from `top`, pushed aside by the legs."""
    sway = figure.swing * figure.ahead * 0.35
    reach = figure.torso(0.56, loose) * flare + abs(figure.size(figure.swing * figure.ahead)) * 0.55
    waist, middle = figure.torso(top, loose), (figure.torso(0.56, loose) * 1.04 + reach) / 2
    x, y_top = figure.at((0.0, top, 0.0))
    _, y_hem = figure.at((0.0, hem, 0.0))
    y_middle, x_hem = y_top + (y_hem - y_top) * 0.45, x + figure.size(sway)
    outline = [
        (x - waist, y_top),
        (x + waist, y_top),
        (x + middle, y_middle),
        (x_hem + reach, y_hem),
        (x_hem, y_hem + figure.size(0.008)),
        (x_hem - reach, y_hem),
        (x - middle, y_middle),
    ]
    figure.board.polygon(outline, cloth)
    for share in (-0.55, -0.15, 0.3, 0.65):
        fold = [(x + share * waist, y_middle - figure.size(0.03)), (x_hem + share * reach, y_hem)]
        figure.board.line(fold, figure.size(0.007), darker(cloth, 0.18), keeps_mask=True)


def edge(figure: Figure, down: float, share: float, loose: float) -> Point:
    """A point of the torso `share` of the way from its middle to its edge on the board."""
    x, y = figure.at((0.0, down, 0.0))
    return x + share * figure.torso(down, loose), y
