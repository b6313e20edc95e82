"""Owns the sentences about a drawn pedestrian: what a hurried observer says of an image, never all of it.

Like the crowd's captions of CUHK-PEDES they run to some twenty words, name what this camera sees, and differ in their
words and in their order. Left and right are never mentioned, because training mirrors the images.
"""

from collections.abc import Sequence

import numpy as np

from world.pedestrian import Sight
from world.pedestrian_words import (
    COLOURS,
    HAIR_COLOURS,
    HAIR_STYLES,
    NOUNS,
    PAIRS,
    PATTERNS,
    PLURAL,
    SIZES,
    SUBJECTS,
)
from world.wardrobe import Garment, Person

# How often each thing is mentioned where it can be seen.
_MENTION_RATES = {
    "upper": 0.96,
    "lower": 0.9,
    "shoes": 0.5,
    "bag": 0.75,
    "hat": 0.7,
    "scarf": 0.65,
    "hair": 0.55,
    "glasses": 0.5,
}

LEAST_MENTIONED = 3


class Observer:
    """Writes one caption: what it noticed of an image, in its own words."""

    def __init__(self, person: Person, sight: Sight, rng: np.random.Generator) -> None:
        self._person, self._sight, self._rng = person, sight, rng

    def caption(self) -> str:
        """One or two sentences, the first letter large and a full stop at the end, as most of the crowd writes."""
        clothes, looks, carried = self._noticed()
        subject, verb = self._pick(SUBJECTS), self._pick(("is wearing", "wears", "is dressed in", "has on"))
        match int(self._rng.integers(5)):
            case 0 if looks:
                first = f"{subject} with {_listed(looks)} {verb} {_listed(clothes)}"
                looks = []
            case 1:
                first = f"{self._pick(('dressed in', 'wearing'))} {_listed(clothes)}, {subject} {self._motion()}"
            case 2:
                first = f"{subject} in {_listed(clothes)} {self._motion()}"
            case 3 if carried:
                first = f"{subject} {self._holding()} {_listed(carried)} {verb} {_listed(clothes)}"
                carried = []
            case _:
                first = f"{subject} {verb} {_listed(clothes)}"
        return " ".join(f"{said[0].upper()}{said[1:]}." for said in (first, *self._rest(looks, carried)))

    def _rest(self, looks: Sequence[str], carried: Sequence[str]) -> list[str]:
        """What the first sentence left out."""
        who = self._pick(("they", "the person", "this pedestrian", "the individual"))
        has, holds = ("have", "carry") if who == "they" else ("has", "carries")
        if looks and carried and self._rng.random() < 0.5:
            return [f"{who} {has} {_listed(looks)} and {holds} {_listed(carried)}"]
        sentences = [f"{who} {has} {_listed(looks)}"] if looks else []
        if carried:
            sentences.append(f"{who} {holds} {_listed(carried)}")
        return sentences

    def _noticed(self) -> tuple[list[str], list[str], list[str]]:
        """Clothes, looks and what is carried; with too few of them, look again."""
        while True:
            clothes, looks, carried = self._clothes(), self._looks(), self._carried()
            if len(clothes) + len(looks) + len(carried) >= LEAST_MENTIONED:
                return clothes, looks, carried

    def _clothes(self) -> list[str]:
        person, phrases = self._person, []
        if self._tells("upper"):
            phrases.append(self._top(person.upper))
        if person.lower is not None and (self._tells("lower") or not phrases):
            phrases.append(self._noun_phrase(person.lower))
        if person.scarf is not None and self._tells("scarf"):
            phrases.append(self._noun_phrase(person.scarf))
        if person.hat is not None and self._tells("hat"):
            phrases.append(self._noun_phrase(person.hat))
        if not phrases or self._tells("shoes"):
            phrases.append(self._noun_phrase(person.shoes))
        if self._rng.random() < 0.25:
            phrases = [phrases[position] for position in self._rng.permutation(len(phrases))]
        return phrases

    def _looks(self) -> list[str]:
        phrases = []
        if self._tells("hair"):
            phrases.append(self._hair())
        if self._person.glasses and self._sight.view != "back" and self._tells("glasses"):
            phrases.append(
                self._person.glasses if self._person.glasses == "sunglasses" else self._pick(("glasses", "eyeglasses"))
            )
        return phrases

    def _carried(self) -> list[str]:
        phrases = []
        if self._person.bag is not None and self._tells("bag"):
            bag = self._noun_phrase(self._person.bag)
            is_hidden = self._person.bag.kind == "backpack" and self._sight.view == "front"
            phrases.append(f"{bag} on the back" if is_hidden and self._rng.random() < 0.3 else bag)
        if self._person.umbrella is not None and self._rng.random() < 0.85:
            phrases.append(self._noun_phrase(self._person.umbrella))
        return phrases

    def _hair(self) -> str:
        person, view = self._person, self._sight.view
        if person.hair == "bald":
            return self._pick(("a bald head", "a shaved head", "no hair"))
        colour = self._pick(HAIR_COLOURS.get(person.hair_colour, (person.hair_colour,)))
        is_short_seen = person.hat is None and self._rng.random() < 0.8
        phrases = HAIR_STYLES.get(person.hair, ())
        if (
            (person.hair == "ponytail" and view == "front")
            or (person.hair == "bun" and person.hat is not None)
            or (person.hair == "short" and not is_short_seen)
        ):
            phrases = ()
        return self._pick(phrases or ("{} hair",)).format(colour)

    def _top(self, upper: Garment) -> str:
        """The top with its pattern, or with what a jacket shows below it."""
        if upper.pattern in PATTERNS:
            return self._patterned(upper)
        phrase = self._noun_phrase(upper)
        if upper.pattern == "printed" and self._sight.view == "front" and self._rng.random() < 0.6:
            return f"{phrase} with {_article(self._colour(upper.accent))} {self._pick(('print', 'logo'))} on the chest"
        if upper.kind == "jacket" and self._sight.view == "front" and self._rng.random() < 0.6:
            return f"{phrase} over {_article(self._colour(upper.accent))} {self._pick(('shirt', 'top'))}"
        return phrase

    def _patterned(self, upper: Garment) -> str:
        noun, (adjective, marks) = self._pick(NOUNS[upper.kind]), PATTERNS[upper.pattern]
        if upper.pattern == "checked":
            adjective = self._pick(("checked", "plaid", "checkered"))
        ground, accent = self._colour(upper.colour), self._colour(upper.accent)
        return self._pick(
            (
                _article(f"{ground} and {accent} {adjective} {noun}"),
                _article(f"{ground} {adjective} {noun}"),
                f"{_article(_coloured(ground, noun))} with {accent} {marks}",
            )
        )

    def _noun_phrase(self, garment: Garment) -> str:
        phrase = _coloured(self._colour(garment.colour), self._pick(NOUNS[garment.kind]))
        if garment.kind in PLURAL:
            is_pair = garment.kind in PAIRS and self._rng.random() < 0.15
            return f"a pair of {phrase}" if is_pair else phrase
        return _article(phrase)

    def _motion(self) -> str:
        """That they walk or stand and, seldom, from where one sees them."""
        moving = (
            ("walks", "is walking", "is walking along") if self._sight.pose.stride > 0.03 else ("stands", "is standing")
        )
        seen = {"front": "toward the camera", "back": "away from the camera", "side": "past the camera"}
        is_mentioned = self._sight.pose.stride > 0.03 and self._rng.random() < 0.4
        return f"{self._pick(moving)} {seen[self._sight.view]}" if is_mentioned else self._pick(moving)

    def _holding(self) -> str:
        return self._pick(("carrying", "with", "who carries"))

    def _colour(self, name: str) -> str:
        return self._pick(COLOURS[name])

    def _tells(self, thing: str) -> bool:
        return bool(self._rng.random() < _MENTION_RATES[thing])

    def _pick(self, choices: Sequence[str]) -> str:
        return choices[int(self._rng.integers(len(choices)))]


def describe(person: Person, sight: Sight, rng: np.random.Generator) -> tuple[str, str]:
    """Two captions, as if by two observers; never the same sentence twice."""
    first = Observer(person, sight, rng).caption()
    while (second := Observer(person, sight, rng).caption()) == first:
        pass
    return first, second


def _coloured(colour: str, noun: str) -> str:
    size, _, rest = noun.partition(" ")
    is_size = size in SIZES and not rest.startswith("sleeved")
    return f"{size} {colour} {rest}" if is_size else f"{colour} {noun}"


def _article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _listed(phrases: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(phrases[:-1]), phrases[-1])) if len(phrases) > 1 else phrases[0]
