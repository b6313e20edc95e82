"""Owns the makes and models of the drawn world's cars: what every car of a model has in common, endless by number."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MODELS_A_MAKE = 5

GRILLES = ("trapezoid", "hexagon", "shield", "oval", "kidneys", "band", "tombstone", "mouth", "split", "waterfall")
FILLINGS = ("bars", "ribs", "mesh", "blades", "void")
BADGES = ("circle", "oval", "diamond", "triangle", "square", "shield", "wings", "star", "rings", "cross")
LAMPS = ("almond", "wedge", "slim", "block", "drop", "boomerang", "round", "twin")
SIGNATURES = ("top", "bottom", "hook", "dots", "none")
TAILS = ("corner", "bar", "upright", "round", "wedge")
INTAKES = ("wide", "trapezoid", "smile", "split", "slot", "deep")
FOGS = ("round", "slit", "scoop", "triangle", "stack", "none")


@dataclass(frozen=True, slots=True)
class Body:
    """A type of car: sizes in metres, and where its profile bends, as fractions of the length from the front."""

    doors: int
    seats: int
    length: float
    width: float
    height: float
    clearance: float
    nose: float  # the hood's front edge, as a share of the belt's height
    belt: float  # the lower edge of the windows, as a share of the height
    cowl: float
    roof_front: float
    roof_rear: float
    tail: float
    roof_width: float  # as a share of the width


BODIES: Mapping[str, Body] = {
    "MPV": Body(5, 7, 4.5, 1.83, 1.68, 0.17, 0.84, 0.6, 0.2, 0.37, 0.88, 0.985, 0.76),
    "SUV": Body(5, 5, 4.6, 1.88, 1.72, 0.24, 0.9, 0.63, 0.27, 0.39, 0.87, 0.98, 0.75),
    "saloon": Body(4, 5, 4.75, 1.82, 1.46, 0.15, 0.78, 0.64, 0.28, 0.43, 0.71, 0.87, 0.68),
    "hatchback": Body(5, 5, 4.1, 1.74, 1.49, 0.15, 0.8, 0.62, 0.25, 0.41, 0.82, 0.98, 0.7),
    "fastback": Body(4, 5, 4.8, 1.87, 1.43, 0.14, 0.76, 0.65, 0.29, 0.44, 0.66, 0.94, 0.67),
    "estate": Body(5, 5, 4.75, 1.82, 1.48, 0.15, 0.78, 0.63, 0.27, 0.41, 0.88, 0.985, 0.69),
    "pickup": Body(4, 5, 5.2, 1.9, 1.8, 0.27, 0.9, 0.6, 0.27, 0.37, 0.55, 0.6, 0.74),
    "van": Body(4, 6, 4.9, 1.92, 1.98, 0.19, 0.86, 0.56, 0.13, 0.28, 0.95, 0.99, 0.84),
    "sports": Body(2, 2, 4.45, 1.87, 1.3, 0.12, 0.72, 0.67, 0.34, 0.49, 0.63, 0.9, 0.66),
}


@dataclass(frozen=True, slots=True)
class CarMake:
    """What all cars of a make share, above all their face."""

    number: int
    name: str
    grille: str
    filling: str
    badge: str
    badge_colour: tuple[int, int, int]
    is_badge_on_hood: bool
    lamp: str
    signature: str
    tail: str
    is_chrome: bool
    grille_size: tuple[float, float]
    slant: float


@dataclass(frozen=True, slots=True)
class CarModel:
    """One model. The face is measured across (0 the middle, 1 the side) and upward (0 the bumper's foot, 1 the hood)."""

    number: int
    name: str
    make: CarMake
    body: str
    shape: Body
    nose_depth: float  # metres by which the front corners stand back
    tail_depth: float
    lean: float  # metres by which the hood's edge stands back
    wheel: float  # radius in metres
    overhang: float  # from the front to the wheel's axis, in metres
    spokes: int
    has_rails: bool
    creases: int
    grille_width: float
    grille_foot: float
    grille_top: float
    lines: int
    lamp_inner: float
    lamp_foot: float
    lamp_height: float
    slant: float
    lenses: int
    intake: str
    intake_width: float
    intake_height: float
    fog: str
    fog_lamp: tuple[float, float]
    is_cladded: bool
    speed_km_h: int
    displacement_l: float


def make_of(seed: int, number: int) -> CarMake:
    """The make of that number, from 1; the same for ever."""
    rng = np.random.default_rng([seed, 1, number])
    metals = (
        (206, 210, 216),
        (206, 210, 216),
        (196, 44, 46),
        (38, 82, 160),
        (204, 168, 84),
        (28, 30, 36),
        (44, 120, 84),
    )
    return CarMake(
        number=number,
        name=_word(rng, 2).capitalize(),
        grille=str(rng.choice(GRILLES)),
        filling=str(rng.choice(FILLINGS)),
        badge=str(rng.choice(BADGES)),
        badge_colour=metals[rng.integers(len(metals))],
        is_badge_on_hood=bool(rng.random() < 0.35),
        lamp=str(rng.choice(LAMPS)),
        signature=str(rng.choice(SIGNATURES)),
        tail=str(rng.choice(TAILS)),
        is_chrome=bool(rng.random() < 0.6),
        grille_size=(float(rng.uniform(0.34, 0.6)), float(rng.uniform(0.26, 0.52))),
        slant=float(rng.uniform(-0.03, 0.12)),
    )


def model_of(seed: int, number: int) -> CarModel:
    """The model of that number, from 1; every `MODELS_A_MAKE` in turn are of one make."""
    rng = np.random.default_rng([seed, 2, number])
    make = make_of(seed, (number - 1) // MODELS_A_MAKE + 1)
    body = str(rng.choice(list(BODIES), p=(0.1, 0.22, 0.2, 0.16, 0.08, 0.08, 0.05, 0.05, 0.06)))
    shape = _varied(BODIES[body], rng)
    width, height = make.grille_size
    grille_top = float(rng.uniform(0.86, 0.96))
    lamp_height = float(rng.uniform(0.13, 0.3))
    return CarModel(
        number=number,
        name=_model_name(rng),
        make=make,
        body=body,
        shape=shape,
        nose_depth=float(rng.uniform(0.3, 0.55)),
        tail_depth=float(rng.uniform(0.16, 0.3)),
        lean=float(rng.uniform(0.04, 0.2)),
        wheel=float(rng.uniform(0.3, 0.335)) + 0.28 * (shape.clearance - 0.15),
        overhang=float(rng.uniform(0.76, 0.92)),
        spokes=int(rng.choice((5, 5, 6, 7, 10))),
        has_rails=body in {"SUV", "estate", "MPV"} and bool(rng.random() < 0.6),
        creases=int(rng.integers(0, 3)),
        grille_width=float(np.clip(width * rng.uniform(0.78, 1.22), 0.26, 0.62)),
        grille_foot=grille_top - float(np.clip(height * rng.uniform(0.75, 1.3), 0.2, 0.6)),
        grille_top=grille_top,
        lines=int(rng.integers(3, 9)),
        lamp_inner=float(rng.uniform(0.48, 0.66)),
        lamp_foot=float(rng.uniform(0.58, 0.9 - lamp_height)),
        lamp_height=lamp_height,
        slant=make.slant + float(rng.uniform(-0.03, 0.06)),
        lenses=int(rng.integers(1, 4)),
        intake=str(rng.choice(INTAKES)),
        intake_width=float(rng.uniform(0.42, 0.76)),
        intake_height=float(rng.uniform(0.14, 0.26)),
        fog=str(rng.choice(FOGS)),
        fog_lamp=(float(rng.uniform(0.66, 0.8)), float(rng.uniform(0.14, 0.3))),
        is_cladded=bool(rng.random() < (0.55 if shape.clearance > 0.2 else 0.12)),
        speed_km_h=int(rng.integers(150, 260)),
        displacement_l=round(float(rng.choice((1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.4, 3.0))), 1),
    )


def _varied(body: Body, rng: np.random.Generator) -> Body:
    """The type's shape with this model's own measures."""

    def about(value: float, spread: float) -> float:
        return value * float(rng.uniform(1 - spread, 1 + spread))

    return Body(
        doors=body.doors,
        seats=body.seats,
        length=about(body.length, 0.06),
        width=about(body.width, 0.04),
        height=about(body.height, 0.05),
        clearance=about(body.clearance, 0.15),
        nose=about(body.nose, 0.06),
        belt=about(body.belt, 0.04),
        cowl=about(body.cowl, 0.1),
        roof_front=about(body.roof_front, 0.05),
        roof_rear=about(body.roof_rear, 0.03),
        tail=body.tail,
        roof_width=about(body.roof_width, 0.05),
    )


def _word(rng: np.random.Generator, syllables: int) -> str:
    onsets = ("b", "br", "c", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "v", "z")
    vowels, ends = tuple("aeiou"), ("", "", "n", "r", "l", "s")
    return "".join(str(rng.choice(onsets)) + str(rng.choice(vowels)) + str(rng.choice(ends)) for _ in range(syllables))


def _model_name(rng: np.random.Generator) -> str:
    if rng.random() < 0.4:
        return f"{'ABCEGKMQSTXZ'[rng.integers(12)]}{int(rng.integers(1, 10))}{'0' if rng.random() < 0.5 else ''}"
    return _word(rng, int(rng.integers(2, 4))).capitalize()
