"""Owns the drawing of what pedestrians carry: bags, scarf and umbrella."""

import numpy as np

from world.figure import Figure, Joint
from world.palette import darker, lighter
from world.sprite import Point
from world.wardrobe import Garment, Person


def draw_behind(figure: Figure, person: Person) -> None:
    """What the body hides in part: before the torso."""
    bag = person.bag
    if bag is None:
        return
    if bag.kind == "backpack" and figure.across > -0.2:
        _pack(figure, bag)
    if bag.kind == "shoulder bag" and not figure.is_near((person.hand * 0.12, 0.0, 0.01)):
        _pouch(figure, bag, person)


def draw_before(figure: Figure, person: Person) -> None:
    """What lies over the torso: after it, before the near arm."""
    bag = person.bag
    if person.scarf is not None:
        _scarf(figure, person.scarf)
    if bag is None:
        return
    if bag.kind == "backpack":
        if figure.across > -0.2:
            _straps(figure, bag, person)
        else:
            _pack(figure, bag)
    if bag.kind == "shoulder bag":
        _shoulder_strap(figure, bag, person)
        if figure.is_near((person.hand * 0.12, 0.0, 0.01)):
            _pouch(figure, bag, person)


def draw_in_hand(figure: Figure, person: Person) -> None:
    """What hangs from the hand or rolls beside it."""
    bag = person.bag
    if bag is None:
        return
    _, _, hand = figure.arm(person.hand)
    match bag.kind:
        case "handbag":
            _hanging(figure, bag, hand, half_width=0.055, height=0.085, handle=0.045)
        case "shopping bag":
            _hanging(figure, bag, hand, half_width=0.065, height=0.15, handle=0.04)
        case "suitcase":
            _suitcase(figure, bag, hand, person.hand)


def draw_umbrella(figure: Figure, person: Person) -> None:
    """An open umbrella above the head."""
    if person.umbrella is None:
        return
    board, shade = figure.board, person.umbrella.shade
    _, _, hand = figure.raised_arm(-person.hand)
    x, y = figure.at(hand)
    top = figure.at((0.0, -0.215, 0.0))[1]
    board.line([(x, y + figure.size(0.03)), (x, top)], figure.size(0.011), (70, 70, 76))
    centre, reach = (x + figure.at((0.0, 0.0, 0.0))[0] * 2) / 3, figure.size(0.26)
    rim = figure.at((0.0, -0.05, 0.0))[1]
    turns = np.linspace(np.pi, 2 * np.pi, 25)
    dome: list[Point] = [
        (float(centre + reach * np.cos(turn)), float(rim + (rim - top) * np.sin(turn))) for turn in turns
    ]
    scallops: list[Point] = []
    for number in range(4):
        right = centre + reach - number * reach / 2
        scallops += [(right - reach / 4, rim - figure.size(0.028)), (right - reach / 2, rim)]
    board.polygon([*dome, *scallops], shade)
    for share in (-0.5, 0.0, 0.5):
        rib = [(centre, top), (centre + share * reach * 0.85, (top + rim) / 2), (centre + share * reach, rim)]
        board.line(rib, figure.size(0.006), darker(shade, 0.28), keeps_mask=True)


def _pack(figure: Figure, bag: Garment) -> None:
    x, y = figure.at((0.0, 0.335, -0.095))
    half, tall = figure.breadth(0.088, 0.055), figure.size(0.125)
    corners = (x - half, y - tall, x + half, y + tall)
    figure.board.box(corners, bag.shade, radius=min(half, tall) * 0.55)
    pocket = (x - half * 0.72, y + tall * 0.08, x + half * 0.72, y + tall * 0.82)
    figure.board.box(pocket, darker(bag.shade, 0.2), radius=half * 0.3)
    zip_line = [(x - half * 0.6, y - tall * 0.45), (x + half * 0.6, y - tall * 0.45)]
    figure.board.line(zip_line, figure.size(0.008), lighter(bag.shade, 0.35), keeps_mask=True)


def _straps(figure: Figure, bag: Garment, person: Person) -> None:
    for side in (-1, 1):
        strap = (
            (side * 0.066 * person.broad, 0.19, 0.0),
            (side * 0.07 * person.broad, 0.26, 0.06),
            (side * 0.086 * person.broad, 0.4, 0.03),
        )
        if figure.is_near((side * 0.066, 0.0, 0.05)):
            figure.limb(strap, (0.022, 0.024, 0.02), darker(bag.shade, 0.1))


def _shoulder_strap(figure: Figure, bag: Garment, person: Person) -> None:
    ahead = 0.068 if figure.across >= 0 else -0.068
    strap: list[Joint] = [(-person.hand * 0.075, 0.195, 0.0), (0.0, 0.34, ahead), (person.hand * 0.105, 0.5, 0.02)]
    figure.limb(strap, (0.016, 0.016, 0.016), darker(bag.shade, 0.12))


def _pouch(figure: Figure, bag: Garment, person: Person) -> None:
    x, y = figure.at((person.hand * 0.128 * person.broad, 0.535, 0.012))
    half, tall = figure.breadth(0.034, 0.075), figure.size(0.058)
    figure.board.box((x - half, y - tall, x + half, y + tall), bag.shade, radius=half * 0.35)
    figure.board.box((x - half, y - tall, x + half, y), darker(bag.shade, 0.2), radius=half * 0.35)
    figure.board.ellipse((x, y), figure.size(0.008), lighter(bag.shade, 0.5))


def _hanging(figure: Figure, bag: Garment, hand: Joint, *, half_width: float, height: float, handle: float) -> None:
    x, y = figure.at(hand)
    half, top = figure.breadth(half_width * 0.45, half_width), y + figure.size(handle)
    for share in (-0.6, 0.6):
        figure.board.line([(x, y), (x + share * half, top)], figure.size(0.009), darker(bag.shade, 0.3))
    bottom, inset = top + figure.size(height), half * (0.14 if height < 0.1 else 0.0)
    shape = [(x - half + inset, top), (x + half - inset, top), (x + half, bottom), (x - half, bottom)]
    figure.board.polygon(shape, bag.shade)
    fold = top + (bottom - top) * 0.35
    figure.board.line([(x - half * 0.9, fold), (x + half * 0.9, fold)], figure.size(0.008), darker(bag.shade, 0.25))


def _suitcase(figure: Figure, bag: Garment, hand: Joint, side: int) -> None:
    x, y = figure.at((side * 0.17, 0.8, -0.1))
    half, tall = figure.breadth(0.075, 0.055), figure.size(0.155)
    grip = figure.at(hand)
    for share in (-0.45, 0.45):
        figure.board.line([grip, (x + share * half, y - tall)], figure.size(0.01), (96, 98, 104))
    figure.board.box((x - half, y - tall, x + half, y + tall), bag.shade, radius=half * 0.3)
    for share in (-0.4, 0.0, 0.4):
        groove = [(x + share * half, y - tall * 0.8), (x + share * half, y + tall * 0.8)]
        figure.board.line(groove, figure.size(0.007), darker(bag.shade, 0.25), keeps_mask=True)
    for share in (-0.7, 0.7):
        figure.board.ellipse((x + share * half, y + tall + figure.size(0.012)), figure.size(0.014), (44, 44, 48))


def _scarf(figure: Figure, scarf: Garment) -> None:
    x, y = figure.at((0.0, 0.178, 0.008))
    figure.board.ellipse((x, y), (figure.breadth(0.062, 0.052), figure.size(0.027)), scarf.shade)
    if figure.across > 0.1:
        tail = ((0.022, 0.185, 0.06), (0.03, 0.25, 0.075), (0.028, 0.335, 0.076))
        figure.limb(tail, (0.034, 0.036, 0.04), darker(scarf.shade, 0.12))
