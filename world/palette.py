"""Owns the colours of the drawn world: their names, and how light changes them."""

import numpy as np

Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {
    "red": (214, 50, 48),
    "orange": (240, 140, 44),
    "yellow": (246, 205, 62),
    "green": (72, 160, 84),
    "teal": (40, 164, 164),
    "blue": (52, 106, 206),
    "purple": (126, 78, 178),
    "pink": (238, 132, 168),
    "brown": (136, 90, 56),
    "white": (240, 238, 232),
    "grey": (146, 150, 156),
    "black": (52, 52, 60),
}


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Go `share` of the way from the first colour to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def lighter(colour: Colour, share: float = 0.3) -> Colour:
    """As if more light fell on it."""
    return mix(colour, (255, 255, 255), share)


def darker(colour: Colour, share: float = 0.3) -> Colour:
    """As if it lay in the shade, which is bluish."""
    return mix(colour, (16, 18, 34), share)


def vary(colour: Colour, rng: np.random.Generator, amount: float = 10.0) -> Colour:
    """A shade of the same colour, as no two cars of one paint look the same."""
    shade = np.clip(np.asarray(colour) + rng.normal(0, amount, 1) + rng.normal(0, amount / 2, 3), 8, 250)
    red, green, blue = (int(value) for value in shade)
    return red, green, blue
