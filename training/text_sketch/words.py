"""Owns the words of a run: the one tokenizer of training and serving, and what the network makes of left and right."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor

from encoders.bundle import TextCleaning
from encoders.serving.text import cleaner_of
from training.tokens.captions import Vocabulary
from training.tokens.clip import CLEANING, clip_tokenizer_json, published_merges

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
