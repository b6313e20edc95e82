"""Owns a split as the network reads it, photos, sketches, captions and categories, and the words of its captions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from encoders.bundle import Preprocessing, TextCleaning
from encoders.text_cleaning import cleaner_of
from training.datasets.coco_karpathy import CATEGORY_IDS, CaptionedPhoto
from training.decoded import Pixels, cached
from training.tokens.captions import Vocabulary
from training.tokens.clip import CLEANING, clip_tokenizer_json, published_merges

Tokens = NDArray[np.int64]
FILE = "tokenizer.json"


class Words:
    """A tokenizer whose captions end in the token of the highest id."""

    def __init__(self, tokenizer_json: str, cleaning: TextCleaning | None = None) -> None:
        self.tokenizer_json = tokenizer_json
        self.cleaning = cleaning
        self.tokenizer: Tokenizer = Tokenizer.from_str(tokenizer_json)
        self._clean = cleaner_of(cleaning, self.tokenizer)
        self._empty = self.tokenizer.encode("").ids
        self.vocabulary_size = self._empty[-1] + 1
        sides = [self.tokenizer.encode(side, add_special_tokens=False).ids for side in ("left", "right")]
        # Where either word is unknown, nothing is said of sides that could be turned round.
        self._left, self._right = (ids[0] for ids in sides) if sides[0] != sides[1] else (-1, -1)

    @classmethod
    def of(cls, kind: Literal["words", "clip"], captions: Iterable[str], *, max_tokens: int) -> "Words":
        """CLIP's tokenizer, or a vocabulary counted on the training captions."""
        if kind == "clip":
            return cls(clip_tokenizer_json(published_merges(), max_tokens=max_tokens), CLEANING)
        return cls(Vocabulary.of(captions, has_ends=True).tokenizer_json(max_tokens=max_tokens))

    @classmethod
    def read(cls, run: Path, kind: Literal["words", "clip"]) -> "Words":
        """The tokenizer that a run of this kind of tokens has written."""
        return cls((run / FILE).read_text(encoding="utf-8"), CLEANING if kind == "clip" else None)

    def write(self, run: Path) -> Path:
        """Keep the tokenizer in the run's folder; returns the file."""
        path = run / FILE
        path.write_text(self.tokenizer_json, encoding="utf-8")
        return path

    def ids(self, captions: Iterable[str]) -> tuple[list[int], ...]:
        """The tokens of each caption, cleaned as when it is served."""
        cleaned = [self._clean(caption) for caption in captions]
        return tuple(encoding.ids for encoding in self.tokenizer.encode_batch(cleaned))

    def empty(self, length: int) -> Tensor:
        """The caption of no words, int64 (`length`,)."""
        return torch.tensor(self._empty + [0] * (length - len(self._empty)))

    def mirrored(self, tokens: Tensor) -> Tensor:
        """The captions of mirrored photos: left and right have changed places."""
        is_left, is_right = tokens == self._left, tokens == self._right
        return tokens.masked_fill(is_left, self._right).masked_fill(is_right, self._left)


@dataclass(frozen=True, slots=True)
class Pairs:
    """N photos with their sketches, both uint8 (N, S, S, 3), and for each its captions' tokens and its categories.

    `labels` is float32 (N, 90), 1 for COCO category id 1 at index 0.
    """

    photos: Pixels
    sketches: Pixels
    tokens: tuple[tuple[list[int], ...], ...]
    labels: NDArray[np.float32]

    @classmethod
    def read(cls, photos: Sequence[CaptionedPhoto], words: Words, preprocessing: Preprocessing, cache: Path) -> "Pairs":
        """Decode every image once, into two folders of `cache` that are then mapped.

        Photos without a sketch, which the loader keeps of an incomplete set, are left out.
        """
        sketches = {photo: photo.sketch for photo in photos if photo.sketch is not None}
        photos = tuple(sketches)
        labels = np.zeros((len(photos), len(CATEGORY_IDS)), np.float32)
        for row, photo in enumerate(photos):
            labels[row, [category - CATEGORY_IDS.start for category in photo.category_ids]] = 1
        return cls(
            photos=cached([photo.path for photo in photos], preprocessing, cache / "photos"),
            sketches=cached(list(sketches.values()), preprocessing, cache / "sketches"),
            tokens=tuple(words.ids(photo.captions) for photo in photos),
            labels=labels,
        )

    def __len__(self) -> int:
        return len(self.photos)


def padded(captions: Sequence[Sequence[int]]) -> Tokens:
    """Captions of any lengths as int64 (N, T), T the longest; what is behind their ends is 0."""
    tokens = np.zeros((len(captions), max(map(len, captions))), np.int64)
    for row, caption in enumerate(captions):
        tokens[row, : len(caption)] = caption
    return tokens
