import re

import numpy as np
import pytest

from world.palette import COLOURS
from world.scene import Scene, draw_scene
from world.sentence import write_sentences

KINDS_IN_WORDS = {"people": "person", "buses": "bus"}


def scene(number: int) -> Scene:
    return draw_scene(np.random.default_rng([6, number]), (240, 180))


def singular(word: str, labels: set[str]) -> str:
    return KINDS_IN_WORDS.get(word, word if word in labels else word.removesuffix("s"))


def test_same_generator_same_sentences() -> None:
    """Sentences are a function of the scene and the generator."""
    first, again, other = (write_sentences(scene(0), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("number", range(6))
def test_sentences_are_true(number: int) -> None:
    """Every coloured thing that a sentence names is in the scene in that colour, and so is what it says is on a side."""
    drawn = scene(number)
    there = {(item.label, item.colour) for item in drawn.objects}
    labels = {item.label for item in drawn.objects}
    for sentence in write_sentences(drawn, np.random.default_rng(number), count=40):
        for colour, word in re.findall(rf"\b({'|'.join(COLOURS)}) (\w+)", sentence.lower()):
            if singular(word, labels) in labels:
                assert (singular(word, labels), colour) in there, sentence
        for word, colour in re.findall(r"\b(person|people) in (\w+)", sentence.lower()):
            assert colour not in COLOURS or (singular(word, labels), colour) in there, sentence


@pytest.mark.parametrize("number", range(6))
def test_left_and_right_are_the_viewers(number: int) -> None:
    """Where single things of their kind are related, the first one's middle lies on the side that is named."""
    drawn = scene(number)
    kinds = [item.label for item in drawn.objects]
    middle = {item.label: item.box[0] + item.box[2] for item in drawn.objects if kinds.count(item.label) == 1}
    pattern = re.compile(
        rf"({'|'.join(middle) or '-'})(?: in \w+)? to the (left|right) of an? (?:\w+ )?({'|'.join(middle) or '-'})"
    )
    for sentence in write_sentences(drawn, np.random.default_rng(number), count=60):
        for first, side, second in pattern.findall(sentence.lower()):
            assert (middle[first] < middle[second]) == (side == "left"), sentence


def test_sentences_leave_things_out() -> None:
    """Most name one to three kinds of things, a part of what is there; they differ from one another."""
    sentences = [text for number in range(12) for text in write_sentences(scene(number), np.random.default_rng(number))]
    assert len(set(sentences)) > 0.95 * len(sentences)
    assert all(text[0].isupper() and text.endswith(".") and "  " not in text for text in sentences)
    assert 8 < np.mean([len(text.split()) for text in sentences]) < 20
