"""Colours: images and sentences say the eleven basic ones in the same way."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from training.joint_space.colours import EXAMPLES, OTHER_WORDS, ColourFractions, ColourWords, attention

NAMES = list(EXAMPLES)
UNKNOWN = "[UNK]"
EVENLY = torch.full((1, 8, 8), 1 / 64)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that knows every word of a colour, and few others."""
    words = ["[PAD]", UNKNOWN, "[CLS]", "[SEP]", *NAMES, *OTHER_WORDS, "a", "dress", "in", "the", "garden"]
    made = Tokenizer(WordPiece({word: token for token, word in enumerate(words)}, unk_token=UNKNOWN))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


def named(tokenizer: Path, sentences: Sequence[str]) -> np.ndarray:
    encoded = [Tokenizer.from_file(str(tokenizer)).encode(sentence).ids for sentence in sentences]
    tokens = np.zeros((len(encoded), max(map(len, encoded))), np.int64)
    for row, ids in zip(tokens, encoded, strict=True):
        row[: len(ids)] = ids
    lengths = torch.tensor([len(ids) for ids in encoded])
    found: np.ndarray = ColourWords(tokenizer)(torch.from_numpy(tokens), lengths).numpy()
    return found


@pytest.mark.parametrize(
    ("pixel", "name"),
    [
        ((255, 0, 0), "red"),
        ((0, 90, 30), "green"),
        ((30, 60, 160), "blue"),
        ((250, 220, 30), "yellow"),
        ((255, 140, 0), "orange"),
        ((250, 250, 250), "white"),
        ((10, 10, 12), "black"),
        ((110, 110, 110), "grey"),
        ((240, 130, 190), "pink"),
        ((120, 40, 130), "purple"),
        ((110, 70, 40), "brown"),
    ],
)
def test_an_image_of_one_colour_has_that_colour(pixel: tuple[int, int, int], name: str) -> None:
    pixels = torch.tensor(pixel, dtype=torch.float32)[None, :, None, None].expand(1, 3, 8, 8)

    fractions = ColourFractions()(pixels, EVENLY)

    assert NAMES[int(fractions.argmax())] == name
    assert float(fractions.sum()) == pytest.approx(1, abs=1e-4)


def test_only_what_counts_has_a_colour() -> None:
    """A blue thing before a red curtain is blue."""
    pixels = torch.tensor([200.0, 30, 40])[None, :, None, None].repeat(1, 1, 8, 8)
    pixels[:, :, 3:5, 3:5] = torch.tensor([40.0, 80, 180])[None, :, None, None]
    maps = torch.zeros(1, 5, 8, 8)
    maps[..., 3:5, 3:5] = 1
    counts = attention(maps)

    fractions = ColourFractions()(pixels, counts / counts.sum())

    assert NAMES[int(fractions.argmax())] == "blue"


def test_words_name_colours(tokenizer: Path) -> None:
    """Each colour by its own direction, other words by those that they stand for, and none where none is named."""
    red, grey, navy, none = named(tokenizer, ["a red dress", "gray", "navy dress", "a dress"])

    assert NAMES[int(red.argmax())] == "red"
    assert NAMES[int(grey.argmax())] == "grey"
    assert NAMES[int(navy.argmax())] == "blue"
    assert np.linalg.norm(red) == pytest.approx(1)
    assert not none.any()


def test_a_colour_in_a_long_sentence_counts_less(tokenizer: Path) -> None:
    """Its length falls with the number of words, whatever else is in the batch."""
    short, long = named(tokenizer, ["a red dress", "a dress in the garden in the garden in red"])

    assert np.linalg.norm(short) > np.linalg.norm(long) > 0
