"""Words to tokens, with a warning for what the model will not see."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as _Tokenizer

from encoders.bundle import Bundle
from encoders.errors import BundleError, InvalidContent
from encoders.text_cleaning import cleaner_of

# No vocabulary needs more characters for one token; what lies behind is never read, so it need not be split.
_MOST_CHARACTERS_A_TOKEN = 64


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text as the model reads it: `ids` (T,) int64 with 1 <= T <= max_tokens."""

    ids: NDArray[np.int64]
    warnings: tuple[str, ...]


class Tokenizer:
    """The tokenizer of a text bundle; safe to use from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        if bundle.tokenizer is None or bundle.max_tokens is None:
            raise BundleError(f"Bundle {bundle.name!r} reads no text.")
        path = bundle.folder / bundle.tokenizer.file
        try:
            self._tokenizer = _Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise BundleError(f"{path} is no tokenizer: {error}.") from error
        self._max_tokens = bundle.max_tokens
        self._clean = cleaner_of(bundle.text_cleaning, self._tokenizer)
        self._tokenizer.enable_truncation(max_length=bundle.max_tokens)
        self._tokenizer.no_padding()
        self._unknown_id = _unknown_id(self._tokenizer)

    def encode(self, text: str) -> Tokens:
        """Split a text; `InvalidContent` where nothing of it can be read."""
        limit = self._max_tokens * _MOST_CHARACTERS_A_TOKEN
        text = self._clean(text)
        encoding = self._tokenizer.encode(text[:limit])
        if not text.strip() or not encoding.ids:
            raise InvalidContent("The text is empty; write at least one word.")
        warnings = []
        if encoding.overflowing or len(text) > limit:
            warnings.append(f"text was cut to {self._max_tokens} tokens")
        unknown, words = self._unknown_words(encoding)
        if unknown:
            warnings.append(f"{unknown} of {words} words are unknown")
        return Tokens(np.asarray(encoding.ids, dtype=np.int64), tuple(warnings))

    def _unknown_words(self, encoding: Any) -> tuple[int, int]:
        pairs = [(word, token) for word, token in zip(encoding.word_ids, encoding.ids, strict=True) if word is not None]
        unknown = {word for word, token in pairs if token == self._unknown_id}
        return len(unknown), len({word for word, _ in pairs})


def _unknown_id(tokenizer: _Tokenizer) -> int | None:
    token = getattr(tokenizer.model, "unk_token", None)
    return None if token is None else tokenizer.token_to_id(token)
