from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from encoders.bundle import Bundle, ModelFile
from encoders.serving.text import Tokenizer
from tests.support.bundles import tiny_text_bundle
from training.text_sketch.pairs import Words

CAPTIONS = [
    "A dog to the left of a tree.",
    "A tree to the right of a dog.",
    "A dog near a tree to the left or right.",
] * 2


def words(*, kind: str = "words") -> Words:
    return Words.of("clip" if kind == "clip" else "words", CAPTIONS, max_tokens=16)


def test_a_mirrored_caption_says_the_other_side() -> None:
    """Left and right change places, and nothing else changes; mirrored twice it is itself."""
    for kind in ("words", "clip"):
        said = words(kind=kind)
        left, right = (
            torch.tensor(said.tokenizer.encode(f"a dog to the {side} of a tree").ids) for side in ("left", "right")
        )
        assert torch.equal(said.mirrored(left), right)
        assert torch.equal(said.mirrored(said.mirrored(left)), left)


def test_no_words_are_a_start_and_an_end() -> None:
    """The empty caption has the ends alone, whatever its length; the end has the highest id."""
    said = words()
    start, end, *padding = said.empty(5).tolist()
    assert (end, padding) == (said.vocabulary_size - 1, [0, 0, 0])
    assert start == end - 1
    assert words(kind="clip").vocabulary_size == 49_408


def test_without_sides_nothing_is_mirrored() -> None:
    """A vocabulary that knows neither word leaves captions as they are."""
    said = Words.of("words", ["a dog", "a dog", "a dog"], max_tokens=8)
    tokens = torch.tensor(said.tokenizer.encode("a dog left of a right").ids)
    assert torch.equal(said.mirrored(tokens), tokens)


@pytest.mark.parametrize("kind", ["words", "clip"])
def test_a_bundle_reads_captions_as_training_did(tmp_path: Path, kind: Literal["words", "clip"]) -> None:
    """The cleaning travels in the bundle's description, so that serving never meets other tokens than training."""
    captions = ["Don\u00e2\u20ac\u2122t  &amp;#233; \uff21\uff22\uff23", "a Dog to the LEFT"]
    said = Words.of(kind, CAPTIONS, max_tokens=16)
    bundle = replace(
        tiny_text_bundle(tmp_path),
        tokenizer=ModelFile.of(said.write(tmp_path)),
        max_tokens=16,
        text_cleaning=said.cleaning,
    )
    bundle.write(tmp_path)

    tokenizer = Tokenizer(Bundle.load(tmp_path))

    assert [tokenizer.encode(caption).ids.tolist() for caption in captions] == list(said.ids(captions))
    assert Words.read(tmp_path, kind).ids(captions) == said.ids(captions)
