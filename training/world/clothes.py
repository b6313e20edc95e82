"""Owns the drawing of a pedestrian's clothes and shoes on their body."""

from collections.abc import Sequence

import numpy as np

from training.world.figure import Figure, Joint, stroke
from training.world.palette import Colour, darker, lighter, mix
from training.world.sprite import Point
from training.world.wardrobe import Garment, Person

# Where a top ends, in heights of the person, and how loose it is.
_HEM = {
    "t-shirt": 0.555,
    "shirt": 0.57,
    "sweater": 0.56,
    "hoodie": 0.57,
    "jacket": 0.56,
    "coat": 0.77,
    "tank top": 0.55,
    "dress": 0.72,
}
_LOOSE = {"hoodie": 1.1, "sweater": 1.05, "jacket": 1.1, "coat": 1.12, "tank top": 0.96}
_SLEEVE_WIDTH = {"hoodie": 0.068, "sweater": 0.062, "jacket": 0.066, "coat": 0.07, "t-shirt": 0.066, "dress": 0.058}
_SHORT_SLEEVED = {"t-shirt", "dress"}
# A stripe across the torso: by how much each corner lies lower, and on which side.
_BAND = ((0.0, -1.0), (0.0, 1.0), (0.022, 1.0), (0.022, -1.0))


def draw_leg(figure: Figure, person: Person, side: int) -> None:
    """One leg with what is worn on it; skirts come later, over both."""
    hip, knee, ankle = figure.leg(side)
    shade = 0.0 if figure.is_near((side * 0.1, 0.0, 0.0)) or abs(figure.across) > 0.9 else 0.16
    skin = darker(person.skin, 0.05 + shade)
    figure.limb((hip, knee, ankle), (0.088, 0.062, 0.044), skin)
    _shoe(figure, person.shoes, side, skin)
    lower = person.lower
    if lower is None or "skirt" in lower.kind:
        return
    cloth = darker(lower.shade, shade)
    match lower.kind:
        case "shorts":
            _tube(figure, (hip, _between(hip, knee, 0.86)), (0.106, 0.1), cloth)
        case "leggings":
            _tube(figure, (hip, knee, _between(knee, ankle, 0.9)), (0.098, 0.064, 0.042), cloth)
        case "trousers":
            _tube(figure, (hip, knee, _between(knee, ankle, 0.95)), (0.106, 0.084, 0.074), cloth)
            line = [figure.at(joint) for joint in (_between(hip, knee, 0.25), knee, _between(knee, ankle, 0.85))]
            figure.board.line(line, figure.size(0.006), darker(cloth, 0.22), keeps_mask=True)
        case _:
            # Jeans are worn pale over the thigh and turned up at the foot.
            _tube(figure, (hip, knee, _between(knee, ankle, 0.95)), (0.104, 0.076, 0.06), cloth)
            figure.limb((_between(hip, knee, 0.4), _between(hip, knee, 0.9)), (0.036, 0.024), lighter(cloth, 0.07))
            figure.limb((_between(knee, ankle, 0.93), _between(knee, ankle, 0.95)), (0.06, 0.06), lighter(cloth, 0.25))
    # The seat joins both legs.
    figure.limb((hip, (0.0, 0.525, 0.0)), (0.1, 0.1), cloth)


def _tube(figure: Figure, joints: Sequence[Joint], widths: Sequence[float], cloth: Colour) -> None:
    """A sleeve or a trouser leg; a darker edge parts it from what is behind it of the same cloth."""
    figure.limb(joints, [width + 0.009 for width in widths], darker(cloth, 0.28))
    figure.limb(joints, widths, cloth)


def _shoe(figure: Figure, shoes: Garment, side: int, skin: Colour) -> None:
    _, knee, ankle = figure.leg(side)
    across, down, ahead = ankle
    heel, toe = (across, down + 0.022, ahead - 0.012), (across * 1.15, down + 0.026, ahead + 0.075)
    sole = (across, down + 0.036, ahead - 0.014), (across * 1.15, down + 0.037, ahead + 0.078)
    match shoes.kind:
        case "boots":
            figure.limb((_between(knee, ankle, 0.45), ankle), (0.066, 0.056), shoes.shade)
            figure.limb(sole, (0.018, 0.018), darker(shoes.shade, 0.4))
            figure.limb((heel, toe), (0.046, 0.036), shoes.shade)
        case "sandals":
            figure.limb(sole, (0.03, 0.03), darker(shoes.shade, 0.2))
            figure.limb((heel, toe), (0.036, 0.028), skin)
            strap = _between(heel, toe, 0.55)
            figure.limb((strap, strap), (0.04, 0.04), shoes.shade)
            figure.limb((ankle, ankle), (0.046, 0.046), shoes.shade)
        case "sneakers":
            figure.limb(sole, (0.026, 0.026), (242, 242, 240) if shoes.colour != "white" else (186, 188, 190))
            figure.limb((heel, toe), (0.05, 0.04), shoes.shade)
        case _:
            figure.limb(sole, (0.016, 0.016), darker(shoes.shade, 0.5))
            figure.limb((heel, toe), (0.042, 0.032), shoes.shade)


def draw_skirt(figure: Figure, person: Person) -> None:
    """A skirt over both legs."""
    if person.lower is None or "skirt" not in person.lower.kind:
        return
    hem = 0.7 if person.lower.kind == "skirt" else 0.9
    _flared(figure, person.lower.shade, top=0.5, hem=hem, flare=1.34 if hem < 0.8 else 1.5)


def _flared(figure: Figure, cloth: Colour, *, top: float, hem: float, flare: float, loose: float = 1.02) -> None:
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


def draw_torso(figure: Figure, person: Person) -> None:
    """The top, down to its hem, with its pattern and what marks its kind."""
    upper = person.upper
    hem, loose = _HEM[upper.kind], _LOOSE.get(upper.kind, 1.0)
    if upper.kind in {"coat", "dress"}:
        flare = 1.16 if upper.kind == "coat" else 1.36
        _flared(figure, upper.shade, top=0.46, hem=hem, flare=flare, loose=loose)
    _trunk(figure, upper.shade, min(hem, 0.575), loose, bare=person.skin if upper.kind == "tank top" else None)
    _pattern(figure, upper, min(hem, 0.575), loose)
    match upper.kind:
        case "shirt":
            _buttons(figure, upper)
        case "sweater":
            _rib(figure, upper, hem, loose)
        case "hoodie":
            _rib(figure, upper, hem, loose)
            _pouch(figure, upper)
        case "jacket" | "coat":
            _open_front(figure, upper, person)
        case "dress":
            _belt(figure, upper)
    _neckline(figure, person)
    if upper.kind == "hoodie":
        _hood(figure, upper)


def _trunk(figure: Figure, cloth: Colour, hem: float, loose: float, *, bare: Colour | None) -> None:
    heights = [0.165, 0.18, 0.2, 0.22, 0.27, 0.36, 0.45, 0.52, hem]
    if bare is not None:
        figure.board.curve(_outline(figure, heights, 0.94), bare)
        heights = [0.205, 0.23, 0.27, 0.36, 0.45, 0.52, hem]
        loose *= 0.9
    figure.board.curve(_outline(figure, heights, loose), cloth)
    if bare is not None:
        for side in (-1, 1):
            figure.limb(((side * 0.055, 0.185, 0.0), (side * 0.065, 0.24, 0.0)), (0.028, 0.034), cloth)


def _outline(figure: Figure, heights: list[float], loose: float) -> list[Point]:
    right = [_edge(figure, down, 1.0, loose) for down in heights]
    left = [_edge(figure, down, -1.0, loose) for down in reversed(heights)]
    return right + left


def _edge(figure: Figure, down: float, share: float, loose: float) -> Point:
    """A point of the torso `share` of the way from its middle to its edge on the board."""
    x, y = figure.at((0.0, down, 0.0))
    return x + share * figure.torso(down, loose), y


def _pattern(figure: Figure, upper: Garment, hem: float, loose: float) -> None:
    board, accent = figure.board, upper.accent_shade
    inside = loose * 0.96
    match upper.pattern:
        case "striped":
            for down in np.arange(0.235, hem - 0.012, 0.046):
                band = [_edge(figure, down + drop, share, inside) for drop, share in _BAND]
                board.polygon(band, accent)
        case "checked":
            _checks(figure, upper, hem, inside)
        case "dotted":
            for row, down in enumerate(np.arange(0.225, hem - 0.01, 0.034)):
                for share in np.arange(-0.8, 0.81, 0.4) + (row % 2) * 0.2:
                    if abs(share) < 0.9:
                        board.ellipse(_edge(figure, down, share, inside), figure.size(0.0085), accent)
        case "printed" if figure.across > 0.2:
            x, y = figure.at((0.0, 0.315, 0.07))
            width = figure.breadth(0.062, 0.0)
            corners = (x - width, y - figure.size(0.04), x + width, y + figure.size(0.045))
            board.box(corners, accent, radius=figure.size(0.012))
            board.ellipse((x, y), (width * 0.5, figure.size(0.022)), upper.shade)


def _checks(figure: Figure, upper: Garment, hem: float, inside: float) -> None:
    for down in np.arange(0.235, hem - 0.01, 0.05):
        band = [_edge(figure, down + drop * 0.55, share, inside) for drop, share in _BAND]
        figure.board.polygon(band, mix(upper.shade, upper.accent_shade, 0.75))
    for share in (-0.75, -0.38, 0.0, 0.38, 0.75):
        line = [_edge(figure, down, share, inside) for down in (0.215, 0.3, 0.4, 0.5, hem - 0.008)]
        figure.board.line(line, figure.size(0.011), upper.accent_shade, keeps_mask=True)


def _buttons(figure: Figure, upper: Garment) -> None:
    if figure.across < 0.1:
        return
    seam = [figure.at((0.0, down, 0.075)) for down in (0.2, 0.36, 0.55)]
    figure.board.line(seam, figure.size(0.007), darker(upper.shade, 0.3), keeps_mask=True)
    for down in (0.25, 0.32, 0.39, 0.46, 0.52):
        figure.board.ellipse(figure.at((0.0, down, 0.075)), figure.size(0.007), lighter(upper.shade, 0.55))


def _rib(figure: Figure, upper: Garment, hem: float, loose: float) -> None:
    band = [_edge(figure, hem - 0.035 + drop * 1.3, share, loose) for drop, share in _BAND]
    figure.board.polygon(band, darker(upper.shade, 0.22), keeps_mask=True)


def _pouch(figure: Figure, upper: Garment) -> None:
    if figure.across < 0.1:
        return
    corners = ((-0.05, 0.42), (0.05, 0.42), (0.075, 0.5), (-0.075, 0.5))
    figure.board.polygon([figure.at((side, down, 0.06)) for side, down in corners], darker(upper.shade, 0.16))
    for side in (-0.018, 0.018):
        cord = [figure.at((side, down, 0.07)) for down in (0.2, 0.27)]
        figure.board.line(cord, figure.size(0.008), lighter(upper.shade, 0.6), keeps_mask=True)


def _hood(figure: Figure, upper: Garment) -> None:
    """Thrown back: a roll behind the neck."""
    x, y = figure.at((0.0, 0.185, -0.035))
    width = figure.breadth(0.072, 0.05)
    drop = 0.04 if figure.across < 0.2 else 0.022
    figure.board.ellipse((x, y), (width, figure.size(drop)), darker(upper.shade, 0.14))


def _open_front(figure: Figure, upper: Garment, person: Person) -> None:
    """A jacket shows what is worn below; a coat is buttoned up."""
    if figure.across < -0.1:
        seam = [figure.at((0.0, down, -0.07)) for down in (0.25, 0.55)]
        figure.board.line(seam, figure.size(0.005), darker(upper.shade, 0.2), keeps_mask=True)
        return
    if upper.kind == "coat":
        seam = [figure.at((0.012, down, 0.075)) for down in (0.2, 0.4, 0.75)]
        figure.board.line(seam, figure.size(0.007), darker(upper.shade, 0.32), keeps_mask=True)
        for down in (0.3, 0.38, 0.46):
            figure.board.ellipse(figure.at((-0.012, down, 0.076)), figure.size(0.01), darker(upper.shade, 0.45))
    else:
        corners = ((-0.034, 0.19), (0.034, 0.19), (0.042, 0.36), (0.036, 0.555), (-0.036, 0.555), (-0.042, 0.36))
        shape = [figure.at((side * person.broad, down, 0.066)) for side, down in corners]
        figure.board.polygon(shape, upper.accent_shade)
    for side in (-1, 1):
        lapel = [(side * 0.03, 0.185, 0.06), (side * 0.058, 0.235, 0.066), (side * 0.03, 0.3, 0.07)]
        figure.board.polygon([figure.at(joint) for joint in lapel], darker(upper.shade, 0.2))


def _belt(figure: Figure, upper: Garment) -> None:
    band = [_edge(figure, 0.445 + drop * 0.7, share, 1.0) for drop, share in _BAND]
    figure.board.polygon(band, darker(upper.shade, 0.4), keeps_mask=True)


def _neckline(figure: Figure, person: Person) -> None:
    board, upper = figure.board, person.upper
    if figure.across > 0.1 and upper.kind not in {"jacket", "coat"}:
        depth = {"tank top": 0.036, "dress": 0.034, "shirt": 0.03}.get(upper.kind, 0.02)
        board.ellipse(
            figure.at((0.0, 0.178, 0.045)), (figure.breadth(0.038, 0.02), figure.size(depth)), darker(person.skin, 0.1)
        )
    if upper.kind == "shirt":
        for side in (-1, 1):
            collar = [(side * 0.006, 0.188, 0.055), (side * 0.048, 0.172, 0.03), (side * 0.036, 0.215, 0.06)]
            if figure.across > 0:
                board.polygon([figure.at(joint) for joint in collar], lighter(upper.shade, 0.25))


def draw_arm(figure: Figure, person: Person, side: int, *, is_raised: bool) -> None:
    """One arm in its sleeve, with the hand."""
    upper = person.upper
    shoulder, elbow, hand = figure.raised_arm(side) if is_raised else figure.arm(side)
    is_far = not figure.is_near((side * 0.1, 0.0, 0.0)) and abs(figure.across) < 0.9
    skin, cloth = (darker(colour, 0.2 if is_far else 0.04) for colour in (person.skin, upper.shade))
    figure.limb((shoulder, elbow, hand), (0.054, 0.044, 0.032), skin)
    figure.limb((hand, (hand[0], hand[1] + 0.022, hand[2])), (0.036, 0.032), skin)
    if upper.kind == "tank top":
        return
    width = _SLEEVE_WIDTH.get(upper.kind, 0.06)
    if upper.kind in _SHORT_SLEEVED:
        cuff = _between(shoulder, elbow, 0.72)
        _tube(figure, (shoulder, cuff), (width, width), cloth)
        sleeve = (shoulder, cuff)
    else:
        wrist = _between(elbow, hand, 0.86)
        _tube(figure, (shoulder, elbow, wrist), (width, width * 0.88, width * 0.72), cloth)
        sleeve = (shoulder, wrist)
        if upper.kind in {"hoodie", "sweater"}:
            figure.limb((_between(elbow, hand, 0.78), wrist), (width * 0.76, width * 0.72), darker(cloth, 0.2))
    if upper.pattern in {"striped", "checked"}:
        _sleeve_bands(figure, upper, sleeve, elbow, width)


def _sleeve_bands(figure: Figure, upper: Garment, sleeve: tuple[Joint, Joint], elbow: Joint, width: float) -> None:
    shoulder, end = sleeve
    for share in (0.25, 0.45, 0.65, 0.85):
        down = shoulder[1] + (end[1] - shoulder[1]) * share
        through = _at_height(shoulder, elbow, down) if down < elbow[1] else _at_height(elbow, end, down)
        x, y = figure.at(through)
        reach, half = figure.size(width * 0.43), figure.size(0.009)
        stroke(figure.board, [(x - reach, y), (x + reach, y)], [half * 2, half * 2], upper.accent_shade)


def _at_height(first: Joint, second: Joint, down: float) -> Joint:
    return _between(first, second, (down - first[1]) / max(1e-6, second[1] - first[1]))


def _between(first: Joint, second: Joint, share: float) -> Joint:
    across, down, ahead = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return across, down, ahead
