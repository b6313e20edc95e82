"""Owns the sentences about a scene: what people would write under it, each naming a part of what is there."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from world.scene import Scene, SceneObject
from world.setting import Setting

# How often a sentence says what it could say.
SAYS_COLOUR = 0.8
SAYS_LOCATION = 0.75
SAYS_WEATHER = 0.55
SAYS_TIME = 0.6
SAYS_SIDE = 0.45
SAYS_NUMBER = 0.7
TELLS_COLOURS_APART = 0.6

_LOCATIONS = {
    "meadow": ("in a meadow", "on a green field", "on the grass", "in the countryside"),
    "street": ("on a street", "in the city", "along a road", "in town"),
    "beach": ("on the beach", "by the sea", "at the seaside", "on the sand"),
    "lake": ("by a lake", "at the shore of a lake", "near the water", "next to a lake"),
}
_TIMES = {
    "morning": ("in the morning", "at sunrise", "early in the day"),
    "noon": ("at noon", "in the middle of the day", "by day"),
    "evening": ("in the evening", "at sunset", "at dusk"),
    "night": ("at night", "in the moonlight", "under the moon"),
}
_WEATHERS = {
    "clear": ("under a clear sky", "in fine weather"),
    "cloudy": ("under a cloudy sky", "with clouds in the sky"),
    "rain": ("in the rain", "on a rainy day", "in wet weather"),
    "snow": ("in the snow", "on a snowy day", "in winter"),
    "fog": ("in the fog", "on a foggy day", "in the mist"),
}
_DOINGS = {
    "ball": ("lying", ""),
    "balloon": ("in the air", "floating in the sky", "high above"),
    "bicycle": ("parked", "standing", ""),
    "boat": ("on the water", "sailing", ""),
    "bus": ("driving", "waiting", ""),
    "car": ("parked", "driving", ""),
    "cat": ("sitting", ""),
    "dog": ("standing", "waiting", ""),
    "flower": ("growing", ""),
    "house": ("standing", ""),
    "person": ("standing", "waiting", ""),
    "tree": ("standing", "growing", ""),
    "umbrella": ("standing", ""),
}
_SIDES = ("on the left", "in the middle", "on the right")
_PLURALS = {"bus": "buses", "person": "people"}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_sentences(scene: Scene, rng: np.random.Generator, *, count: int = 5) -> tuple[str, ...]:
    """Write `count` sentences of a scene with a setting, each anew: what one leaves out another may name."""
    assert scene.setting is not None, "a scene without a setting has no place to speak of"
    return tuple(_sentence(scene.objects, scene.setting, rng) for _ in range(count))


@dataclass(frozen=True, slots=True)
class _Group:
    """Objects of one kind that are named together; `x` is where their middle lies, as a share of the width.

    `colour` is empty where theirs differ; `needs_colour` says that only it tells them from others of their kind.
    """

    label: str
    colour: str
    needs_colour: bool
    count: int
    x: float
    area: float

    @classmethod
    def of(cls, items: Sequence[SceneObject], *, needs_colour: bool) -> "_Group":
        boxes, colours = np.asarray([item.box for item in items]), {item.colour for item in items}
        return cls(
            label=items[0].label,
            colour=items[0].colour if len(colours) == 1 else "",
            needs_colour=needs_colour,
            count=len(items),
            x=float((boxes[:, 0] + boxes[:, 2]).mean() / 2),
            area=float(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum()),
        )

    def named(self, rng: np.random.Generator) -> str:
        """`a red car`, `two dogs`, `a person in white`; the colour is not always said."""
        says_colour = bool(self.colour) and (self.needs_colour or rng.random() < SAYS_COLOUR)
        words = [_PLURALS.get(self.label, f"{self.label}s") if self.count > 1 else self.label]
        if says_colour:
            words = [*words, "in", self.colour] if self.label == "person" else [self.colour, *words]
        if self.count == 1:
            number = "an" if words[0][0] in "aeiou" else "a"
        else:
            number = _NUMBERS[self.count] if rng.random() < SAYS_NUMBER else "some"
        return " ".join((number, *words))

    @property
    def side(self) -> str:
        return _SIDES[int(np.clip(self.x * 3, 0, 2))]


def _sentence(objects: Sequence[SceneObject], setting: Setting, rng: np.random.Generator) -> str:
    groups = _mentioned(objects, rng)
    where, pattern = _where(setting, rng), rng.random()
    names = [group.named(rng) for group in groups]
    if len(groups) == 1:
        doing = str(rng.choice(_DOINGS[groups[0].label]))
        said = f"{names[0]} {groups[0].side if rng.random() < SAYS_SIDE else doing} {where}"
    elif pattern < SAYS_SIDE:
        said = f"{_related(groups, names, rng)} {where}"
    elif pattern < 0.75:
        said = f"{_listed(names)} {where}"
    else:
        said = f"there {'are' if groups[0].count > 1 else 'is'} {_listed(names)} {where}"
    words = " ".join(said.split())
    return words[0].upper() + words[1:] + "."


def _mentioned(objects: Sequence[SceneObject], rng: np.random.Generator) -> list[_Group]:
    """One to three groups, large ones rather than small ones."""
    tells_colours_apart = rng.random() < TELLS_COLOURS_APART
    by_look: dict[tuple[str, str], list[SceneObject]] = {}
    for item in objects:
        by_look.setdefault((item.label, item.colour if tells_colours_apart else ""), []).append(item)
    kinds = Counter(label for label, _ in by_look)
    groups = [_Group.of(items, needs_colour=kinds[label] > 1) for (label, _), items in by_look.items()]
    weights = np.asarray([group.area for group in groups]) ** 0.6
    count = min(len(groups), int(rng.choice((1, 2, 3), p=(0.15, 0.45, 0.4))))
    return [groups[index] for index in rng.choice(len(groups), count, replace=False, p=weights / weights.sum())]


def _where(setting: Setting, rng: np.random.Generator) -> str:
    """Place, weather and time, as far as they are mentioned."""
    parts = []
    if rng.random() < SAYS_LOCATION:
        parts.append(str(rng.choice(_LOCATIONS[setting.location])))
    if rng.random() < SAYS_WEATHER:
        parts.append(str(rng.choice(_WEATHERS[setting.weather])))
    if rng.random() < SAYS_TIME:
        parts.append(str(rng.choice(_TIMES[setting.time])))
    return " ".join(parts)


def _related(groups: Sequence[_Group], names: Sequence[str], rng: np.random.Generator) -> str:
    """Tell where the first two are, by each other or by the image's sides, then what else is there."""
    first, second = groups[:2]
    if abs(first.x - second.x) < 0.12:
        said = f"{names[0]} {rng.choice(('next to', 'near', 'beside'))} {names[1]}"
    elif rng.random() < 0.6:
        said = f"{names[0]} to the {'left' if first.x < second.x else 'right'} of {names[1]}"
    else:
        said = f"{names[0]} {first.side} and {names[1]} {second.side}"
    return said if len(names) == 2 else f"{said}, with {names[2]}"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
