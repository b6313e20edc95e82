"""Owns the way from a caption to the network's tokens: one `tokenizer.json` for training and serving."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.tokens.captions import MAX_TOKENS, Vocabulary

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Captions as the network reads them: `ids` int64 (N, T), padded with zeros, and their `lengths` (N,)."""

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def rows(self, rows: NDArray[np.intp]) -> "Tokens":
        """Some of the captions, padded only to the longest of them."""
        lengths = self.lengths[rows]
        return Tokens(self.ids[rows, : int(lengths.max())], lengths)


def write_tokenizer(captions: Iterable[str], path: Path, *, min_count: int) -> int:
    """Count the words of the training captions, write their tokenizer and return how many ids it gives."""
    vocabulary = Vocabulary.of(captions, min_count=min_count)
    path.write_text(vocabulary.tokenizer_json(), encoding="utf-8")
    return len(vocabulary)


def tokenised(captions: Sequence[str], tokenizer: Path) -> Tokens:
    """Tokens of captions; one without any word becomes a single padding token."""
    encodings = Tokenizer.from_file(str(tokenizer)).encode_batch(list(captions))
    lengths = np.asarray([max(1, len(encoding.ids)) for encoding in encodings], np.int64)
    ids = np.zeros((len(encodings), min(MAX_TOKENS, int(lengths.max()))), np.int64)
    for row, encoding in zip(ids, encodings, strict=True):
        row[: len(encoding.ids)] = encoding.ids
    return Tokens(ids, lengths)
