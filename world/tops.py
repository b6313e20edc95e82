"""Owns the drawing of a pedestrian's top: the torso in it, its sleeves, and what marks its kind."""

from world.cloth import BAND, edge, flared, tube
from world.figure import Figure, between
from world.palette import Colour, darker, lighter
from world.patterns import paint_pattern, paint_sleeve
from world.sprite import Point
from world.wardrobe import Garment, Person

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


def draw_torso(figure: Figure, person: Person) -> None:
    """The top, down to its hem, with its pattern and what marks its kind."""
    upper = person.upper
    hem, loose = _HEM[upper.kind], _LOOSE.get(upper.kind, 1.0)
    if upper.kind in {"coat", "dress"}:
        flare = 1.16 if upper.kind == "coat" else 1.36
        flared(figure, upper.shade, top=0.46, hem=hem, flare=flare, loose=loose)
    _trunk(figure, upper.shade, min(hem, 0.575), loose, bare=person.skin if upper.kind == "tank top" else None)
    paint_pattern(figure, upper, min(hem, 0.575), loose)
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
    right = [edge(figure, down, 1.0, loose) for down in heights]
    left = [edge(figure, down, -1.0, loose) for down in reversed(heights)]
    return right + left


def _buttons(figure: Figure, upper: Garment) -> None:
    if figure.across < 0.1:
        return
    seam = [figure.at((0.0, down, 0.075)) for down in (0.2, 0.36, 0.55)]
    figure.board.line(seam, figure.size(0.007), darker(upper.shade, 0.3), keeps_mask=True)
    for down in (0.25, 0.32, 0.39, 0.46, 0.52):
        figure.board.ellipse(figure.at((0.0, down, 0.075)), figure.size(0.007), lighter(upper.shade, 0.55))


def _rib(figure: Figure, upper: Garment, hem: float, loose: float) -> None:
    band = [edge(figure, hem - 0.035 + drop * 1.3, share, loose) for drop, share in BAND]
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
    band = [edge(figure, 0.445 + drop * 0.7, share, 1.0) for drop, share in BAND]
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
        cuff = between(shoulder, elbow, 0.72)
        tube(figure, (shoulder, cuff), (width, width), cloth)
        sleeve = (shoulder, cuff)
    else:
        wrist = between(elbow, hand, 0.86)
        tube(figure, (shoulder, elbow, wrist), (width, width * 0.88, width * 0.72), cloth)
        sleeve = (shoulder, wrist)
        if upper.kind in {"hoodie", "sweater"}:
            figure.limb((between(elbow, hand, 0.78), wrist), (width * 0.76, width * 0.72), darker(cloth, 0.2))
    if upper.pattern in {"striped", "checked"}:
        paint_sleeve(figure, upper, sleeve, elbow, width)
