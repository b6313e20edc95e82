"""Owns what a pedestrian of the drawn world may look like: hair, clothes, what they carry, and in which colours."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from world.palette import Colour, vary

CLOTH: dict[str, Colour] = {
    "black": (40, 40, 46),
    "white": (238, 238, 236),
    "grey": (140, 143, 148),
    "red": (196, 40, 44),
    "orange": (234, 126, 40),
    "yellow": (240, 200, 66),
    "green": (58, 138, 78),
    "light blue": (142, 190, 226),
    "blue": (46, 98, 198),
    "navy": (34, 44, 84),
    "purple": (112, 66, 156),
    "pink": (236, 138, 170),
    "brown": (116, 76, 48),
    "beige": (212, 188, 150),
}
HAIR: dict[str, Colour] = {
    "black": (38, 32, 32),
    "brown": (98, 62, 40),
    "blond": (220, 184, 112),
    "red": (158, 72, 40),
    "grey": (172, 172, 176),
}
SKIN: tuple[Colour, ...] = ((246, 212, 184), (230, 186, 148), (196, 144, 106), (144, 98, 70), (98, 66, 50))

_ANY = tuple(CLOTH)
_SOBER = ("black", "white", "grey", "navy", "brown", "beige")
_DENIM = ("blue", "light blue", "navy", "black", "grey")
_LEATHER = ("black", "brown", "beige", "red", "navy", "white")

# What there is of each, how often, and in which colours.
UPPER: Mapping[str, tuple[float, tuple[str, ...]]] = {
    "t-shirt": (0.2, _ANY),
    "shirt": (0.16, _ANY),
    "sweater": (0.13, _ANY),
    "hoodie": (0.13, _ANY),
    "jacket": (0.16, _ANY),
    "coat": (0.09, _ANY),
    "tank top": (0.06, _ANY),
    "dress": (0.07, _ANY),
}
LOWER: Mapping[str, tuple[float, tuple[str, ...]]] = {
    "trousers": (0.32, _ANY),
    "jeans": (0.26, _DENIM),
    "shorts": (0.17, _ANY),
    "skirt": (0.11, _ANY),
    "long skirt": (0.05, _ANY),
    "leggings": (0.09, _ANY),
}
SHOES: Mapping[str, tuple[float, tuple[str, ...]]] = {
    "sneakers": (0.5, ("white", "black", "grey", "red", "blue", "pink", "green", "yellow")),
    "boots": (0.2, ("black", "brown", "beige", "red")),
    "shoes": (0.2, ("black", "brown", "white", "red", "navy")),
    "sandals": (0.1, ("brown", "black", "white", "beige")),
}
BAG: Mapping[str, tuple[float, tuple[str, ...]]] = {
    "": (0.3, ("black",)),
    "backpack": (0.24, _ANY),
    "shoulder bag": (0.16, _ANY),
    "handbag": (0.13, _LEATHER),
    "shopping bag": (0.09, ("white", "beige", "red", "green", "yellow", "pink", "light blue")),
    "suitcase": (0.08, ("black", "grey", "red", "blue", "pink", "green", "orange", "yellow")),
}
HAT: Mapping[str, tuple[float, tuple[str, ...]]] = {
    "": (0.68, ("black",)),
    "cap": (0.16, ("black", "white", "red", "blue", "navy", "green", "pink", "yellow")),
    "beanie": (0.1, ("black", "grey", "red", "navy", "yellow", "purple", "green", "orange")),
    "sun hat": (0.06, ("beige", "white", "brown", "black")),
}
UMBRELLA: Mapping[str, tuple[float, tuple[str, ...]]] = {
    "": (0.93, ("black",)),
    "umbrella": (0.07, ("black", "red", "blue", "yellow", "green", "pink", "purple", "white")),
}
SCARF: Mapping[str, tuple[float, tuple[str, ...]]] = {"": (0.88, ("black",)), "scarf": (0.12, _ANY)}

_HAIR_STYLES = {"short": 0.36, "long": 0.26, "ponytail": 0.12, "bun": 0.08, "curly": 0.12, "bald": 0.06}
_HAIR_COLOURS = {"black": 0.36, "brown": 0.28, "blond": 0.18, "red": 0.08, "grey": 0.1}
_GLASSES = {"": 0.74, "glasses": 0.16, "sunglasses": 0.1}
_PATTERNS = {"plain": 0.62, "striped": 0.16, "checked": 0.1, "dotted": 0.06, "printed": 0.06}
_HAS_PATTERN = {"t-shirt", "shirt", "sweater", "tank top", "dress", "hoodie"}


@dataclass(frozen=True, slots=True)
class Garment:
    """Something worn or carried: `colour` is its name, `shade` what this very piece looks like.

    `accent` is the pattern's second colour or, of a jacket, what is worn below it.
    """

    kind: str
    colour: str
    shade: Colour
    pattern: str = "plain"
    accent: str = ""
    accent_shade: Colour = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Person:
    """An identity: all that stays the same from camera to camera. `lower` is none under a dress.

    `broad` is the build, about 1; `hand` the side, -1 or 1, on which things are carried.
    """

    broad: float
    skin: Colour
    hair: str
    hair_colour: str
    hair_shade: Colour
    upper: Garment
    lower: Garment | None
    shoes: Garment
    bag: Garment | None
    hat: Garment | None
    scarf: Garment | None
    umbrella: Garment | None
    glasses: str
    hand: int


def draw_person(rng: np.random.Generator) -> Person:
    """Dress a person; the same generator state gives the same one."""
    upper = _upper(rng)
    hair_colour = _one_of(_HAIR_COLOURS, rng)
    return Person(
        broad=float(rng.uniform(0.88, 1.16)),
        skin=vary(SKIN[rng.integers(len(SKIN))], rng, 5),
        hair=_one_of(_HAIR_STYLES, rng),
        hair_colour=hair_colour,
        hair_shade=vary(HAIR[hair_colour], rng, 6),
        upper=upper,
        lower=None if upper.kind == "dress" else _piece(LOWER, rng, unlike=upper.colour),
        shoes=_require(_piece(SHOES, rng)),
        bag=_piece(BAG, rng, unlike=upper.colour),
        hat=_piece(HAT, rng),
        scarf=_piece(SCARF, rng, unlike=upper.colour),
        umbrella=_piece(UMBRELLA, rng),
        glasses=_one_of(_GLASSES, rng),
        hand=int(rng.choice((-1, 1))),
    )


def _upper(rng: np.random.Generator) -> Garment:
    garment = _require(_piece(UPPER, rng))
    pattern = _one_of(_PATTERNS, rng) if garment.kind in _HAS_PATTERN else "plain"
    accents = [name for name in (_SOBER if garment.colour not in _SOBER else _ANY) if name != garment.colour]
    accent = str(rng.choice(accents))
    is_two_coloured = pattern != "plain" or garment.kind == "jacket"
    return Garment(
        garment.kind,
        garment.colour,
        garment.shade,
        pattern,
        accent if is_two_coloured else "",
        vary(CLOTH[accent], rng, 5),
    )


def _piece(
    choices: Mapping[str, tuple[float, tuple[str, ...]]], rng: np.random.Generator, *, unlike: str = ""
) -> Garment | None:
    """One of the choices; what lies on another piece is seldom of its very colour."""
    kind = _one_of({name: share for name, (share, _) in choices.items()}, rng)
    colours = choices[kind][1]
    colour = str(rng.choice(colours))
    if colour == unlike:
        colour = str(rng.choice(colours))
    return Garment(kind, colour, vary(CLOTH[colour], rng, 6)) if kind else None


def _require(garment: Garment | None) -> Garment:
    assert garment is not None, "this choice has no empty kind"
    return garment


def _one_of(frequencies: Mapping[str, float], rng: np.random.Generator) -> str:
    return str(rng.choice(list(frequencies), p=list(frequencies.values())))
