"""Owns the drawing of a pedestrian's head: face, hair, hat and glasses."""

from world.figure import Figure
from world.palette import Colour, darker, lighter
from world.wardrobe import Person

_INK: Colour = (40, 34, 36)


def draw_hair_behind(figure: Figure, person: Person) -> None:
    """Hair that hangs behind the shoulders of someone who faces us; before all else."""
    if figure.across <= 0.2:
        return
    match person.hair:
        case "long":
            _ball(figure, (0.0, 0.15, -0.04), (0.078, 0.085), darker(person.hair_shade, 0.2))
        case "ponytail":
            _ponytail(figure, person)


def draw_head(figure: Figure, person: Person) -> None:
    """The head and all that is on it; after the torso."""
    skin = person.skin
    figure.limb(((0.0, 0.125, 0.0), (0.0, 0.185, -0.004)), (0.052, 0.058), darker(skin, 0.16))
    if person.hair == "bald":
        _ball(figure, (0.0, 0.076, -0.006), (0.054, 0.066), skin)
    else:
        _hair(figure, person)
    if figure.across > -0.35:
        _face(figure, person)
    if person.hair == "long":
        _long_hair(figure, person)
    if person.hat is not None:
        _hat(figure, person.hat.kind, person.hat.shade)


def _ball(figure: Figure, joint: tuple[float, float, float], radius: tuple[float, float], fill: Colour) -> None:
    figure.board.ellipse(figure.at(joint), (figure.size(radius[0]), figure.size(radius[1])), fill)


def _hair(figure: Figure, person: Person) -> None:
    shade = person.hair_shade
    match person.hair:
        case "curly":
            curls = ((0.0, -0.004), (-0.045, 0.02), (0.045, 0.02), (-0.06, 0.07), (0.06, 0.07), (0.0, 0.06))
            for number, (side, down) in enumerate((*curls, (-0.05, 0.112), (0.05, 0.112))):
                x, y = figure.at((0.0, 0.02 + down, -0.012))
                centre = (x + figure.size(side), y)
                figure.board.ellipse(centre, figure.size(0.044), darker(shade, 0.12 * (number % 2)))
            return
        case "ponytail" if figure.across <= 0.2:
            _ponytail(figure, person)
        case "bun":
            _ball(figure, (0.0, 0.012, -0.05), (0.034, 0.032), darker(shade, 0.1))
    _ball(figure, (0.0, 0.072, -0.008), (0.06, 0.071), shade)


def _ponytail(figure: Figure, person: Person) -> None:
    tail = ((0.0, 0.05, -0.055), (0.0, 0.1, -0.1), (0.0, 0.215, -0.09))
    figure.limb(tail, (0.03, 0.05, 0.022), darker(person.hair_shade, 0.12))


def _face(figure: Figure, person: Person) -> None:
    skin = person.skin
    narrow = 0.044 + 0.006 * max(0.0, figure.across)
    _ball(figure, (0.0, 0.094, 0.022), (narrow, 0.057), skin)
    if person.hair not in {"bald", "curly"} and figure.across > 0.4:
        # A fringe, parted to one side.
        corners = ((-0.05, 0.066), (-0.03, 0.03), (0.02, 0.024), (0.05, 0.06), (0.02, 0.05), (-0.02, 0.056))
        figure.board.curve([figure.at((side, down, 0.03)) for side, down in corners], person.hair_shade)
    for side in (-1, 1):
        if figure.is_near((side * 0.02, 0.0, 0.05)):
            figure.board.ellipse(figure.at((side * 0.021, 0.085, 0.05)), figure.size(0.0062), _INK)
    if figure.across < 0.6:
        _ball(figure, (0.0, 0.1, 0.064), (0.01, 0.011), skin)
    mouth = [figure.at((side, 0.126, 0.05)) for side in (-0.014, 0.014)]
    figure.board.line(mouth, figure.size(0.007), darker(skin, 0.42), keeps_mask=True)
    if person.glasses:
        _glasses(figure, person.glasses)


def _glasses(figure: Figure, kind: str) -> None:
    temple = [figure.at((0.046, 0.082, ahead)) for ahead in (-0.02, 0.05)]
    figure.board.line(temple, figure.size(0.008), _INK, keeps_mask=True)
    for side in (-1, 1):
        if not figure.is_near((side * 0.02, 0.0, 0.04)):
            continue
        centre = figure.at((side * 0.022, 0.086, 0.05))
        if kind == "sunglasses":
            figure.board.ellipse(centre, (figure.size(0.02), figure.size(0.016)), _INK)
        else:
            figure.board.ring(centre, figure.size(0.016), figure.size(0.007), _INK)
    bridge = [figure.at((side, 0.083, 0.052)) for side in (-0.012, 0.012)]
    figure.board.line(bridge, figure.size(0.007), _INK, keeps_mask=True)


def _long_hair(figure: Figure, person: Person) -> None:
    shade = darker(person.hair_shade, 0.08)
    if figure.across < 0.2:
        figure.limb(((0.0, 0.07, -0.03), (0.0, 0.16, -0.05), (0.0, 0.265, -0.06)), (0.1, 0.104, 0.07), shade)
        return
    for side in (-1, 1):
        lock = ((side * 0.052, 0.07, 0.0), (side * 0.062, 0.15, 0.01), (side * 0.064, 0.235, 0.045))
        figure.limb(lock, (0.026, 0.036, 0.02), shade)


def _hat(figure: Figure, kind: str, shade: Colour) -> None:
    board = figure.board
    x, y = figure.at((0.0, 0.05, -0.004))
    reach, rise = figure.size(0.063), figure.size(0.056)
    if kind == "sun hat":
        board.ellipse((x, y + figure.size(0.004)), (figure.size(0.118), figure.size(0.024)), darker(shade, 0.12))
    dome = [
        (x - reach, y),
        (x - reach * 0.86, y - rise * 0.75),
        (x, y - rise * 1.12),
        (x + reach * 0.86, y - rise * 0.75),
    ]
    board.curve([*dome, (x + reach, y), (x, y + figure.size(0.012))], shade)
    match kind:
        case "beanie":
            corners = (x - reach * 1.02, y - figure.size(0.018), x + reach * 1.02, y + figure.size(0.014))
            board.box(corners, darker(shade, 0.18), radius=figure.size(0.012))
            board.ellipse((x, y - rise * 1.2), figure.size(0.02), lighter(shade, 0.25))
        case "cap":
            figure.limb(((-0.03, 0.056, 0.05), (0.0, 0.06, 0.1), (0.03, 0.056, 0.05)), (0.018, 0.026, 0.018), shade)
            figure.limb(((-0.04, 0.058, 0.045), (0.04, 0.058, 0.045)), (0.014, 0.014), darker(shade, 0.25))
        case "sun hat":
            band = (x - reach * 0.98, y - figure.size(0.016), x + reach * 0.98, y + figure.size(0.002))
            board.box(band, darker(shade, 0.5), keeps_mask=True)
