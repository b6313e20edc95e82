"""Captions of drawn pedestrians: true, varied, about as long as the crowd's, and free of left and right."""

from collections import Counter

import numpy as np

from training.tokens.captions import words_of
from world.pedestrian import Sight, draw_sight
from world.pedestrian_cameras import CAMERAS
from world.pedestrian_captions import describe
from world.pedestrian_words import COLOURS, NOUNS
from world.wardrobe import Person, draw_person


def described(number: int) -> tuple[Person, Sight, tuple[str, str]]:
    rng = np.random.default_rng([6, number])
    person = draw_person(rng)
    sight = draw_sight(CAMERAS[number % len(CAMERAS)], rng)
    return person, sight, describe(person, sight, rng)


def test_captions_are_sentences_of_some_twenty_words() -> None:
    """Two different ones an image, with a large letter first and a full stop last."""
    pairs = [described(number)[2] for number in range(150)]

    lengths = [len(words_of(caption)) for pair in pairs for caption in pair]
    assert 17 <= np.mean(lengths) <= 26
    assert max(lengths) <= 45
    assert all(first != second for first, second in pairs)
    assert all(
        caption[0].isupper() and caption.endswith(".") and "  " not in caption for pair in pairs for caption in pair
    )


def test_captions_are_true() -> None:
    """No colour is mentioned that neither the clothes nor the hair have, and no thing that is not there."""
    spoken = {word: colour for colour, words in COLOURS.items() for word in words}
    things = {
        noun: kind for kind, nouns in NOUNS.items() for noun in nouns if noun in {"backpack", "scarf", "umbrella"}
    }
    for number in range(150):
        person, _, captions = described(number)
        pieces = [person.upper, person.lower, person.shoes, person.bag, person.hat, person.scarf, person.umbrella]
        worn = [piece for piece in pieces if piece is not None]
        colours = {name for piece in worn for name in (piece.colour, piece.accent)} | {person.hair_colour}
        for caption in captions:
            # The longest words first: a light blue coat is not a blue one.
            rest = caption.lower()
            for word in sorted(spoken, key=len, reverse=True):
                if f" {word} " in rest:
                    assert spoken[word] in colours or word in {"dark", "red", "grey", "gray"}, caption
                    rest = rest.replace(word, "")
            for noun, kind in things.items():
                if noun in words_of(caption):
                    assert kind in {piece.kind for piece in worn}, caption


def test_left_and_right_are_never_mentioned() -> None:
    """Training mirrors the images."""
    words = {word for number in range(150) for caption in described(number)[2] for word in words_of(caption.lower())}
    assert not words & {"left", "right"}


def test_what_cannot_be_seen_is_not_mentioned() -> None:
    """From behind nobody wears glasses, shows a print, or something below a jacket."""
    for number in range(300):
        _, sight, captions = described(number)
        if sight.view == "back":
            assert not any("glasses" in caption or "chest" in caption or " over " in caption for caption in captions)


def test_captions_vary() -> None:
    """Few begin alike, and hardly two are the same."""
    captions = [caption for number in range(150) for caption in described(number)[2]]
    assert len(set(captions)) > 0.97 * len(captions)
    openings = Counter(" ".join(words_of(caption)[:4]) for caption in captions)
    assert openings.most_common(1)[0][1] < 0.15 * len(captions)
