"""Words to tokens, cleaned as in training, with warnings about what the model will not see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as _Tokenizer

from encoders.bundle import Bundle
from encoders.errors import BundleError, InvalidContent
from encoders.serving.languages import language_warning, unknown_warning
from encoders.text_cleaning import cleaner_of

# No vocabulary needs more characters for one token; what lies behind is never read, so it need not be split.
_MOST_CHARACTERS_A_TOKEN = 64
_UNKNOWN_OF_UNIGRAM = "<unk>"
_MAX_WORDS, _MAX_WORD = 8, 40  # what a message names


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text as the model reads it: `ids` (T,) int64 with 1 <= T <= max_tokens.

    `refusal` says why the text has no meaningful embedding: the vocabulary lacks all of its words. Empty otherwise.
    """

    ids: NDArray[np.int64]
    warnings: tuple[str, ...]
    refusal: str = ""


class Tokenizer:
    """The tokenizer of a text bundle; safe to use from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        if bundle.tokenizer is None or bundle.max_tokens is None:
            raise BundleError(f"Bundle {bundle.name!r} reads no text.")
        path = bundle.folder / bundle.tokenizer.file
        try:
            self._tokenizer = _Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise BundleError(f"{path} is not a tokenizer: {error}.") from error
        self._max_tokens = bundle.max_tokens
        self._languages = bundle.languages
        self._clean = cleaner_of(bundle.text_cleaning, self._tokenizer)
        self._tokenizer.enable_truncation(max_length=bundle.max_tokens)
        self._tokenizer.no_padding()
        # A Unigram model does not say which token stands for what it does not know.
        unknown = getattr(self._tokenizer.model, "unk_token", _UNKNOWN_OF_UNIGRAM)
        self._unknown_id = None if unknown is None else self._tokenizer.token_to_id(unknown)

    def encode(self, text: str) -> Tokens:
        """Split a text; `InvalidContent` where there is no word in it."""
        limit = self._max_tokens * _MOST_CHARACTERS_A_TOKEN
        text = self._clean(text)
        encoding = self._tokenizer.encode(text[:limit])
        if not text.strip() or all(word is None for word in encoding.word_ids):
            raise InvalidContent("The text is empty; write at least one word.")
        warnings = []
        if encoding.overflowing or len(text) > limit:
            warnings.append(f"text was cut to {self._max_tokens} tokens")
        words = self._words(encoding, text)
        unknown_words = [word for word, is_known in words.items() if not is_known]
        if unknown := _listed(unknown_words):
            warnings.append(f"unknown words: {unknown}")
        other_language = language_warning(text[:limit], self._languages) or unknown_warning(
            len(unknown_words), len(words), self._languages
        )
        if other_language:
            warnings.append(other_language)
        refusal = ""
        # A known punctuation mark has no meaning of its own.
        if unknown and not any(is_known and any(map(str.isalnum, word)) for word, is_known in words.items()):
            hint = f"; {other_language}" if other_language else ""
            refusal = f"The model knows no word of this text ({unknown}); say it in other words{hint}."
        return Tokens(np.asarray(encoding.ids, dtype=np.int64), tuple(warnings), refusal)

    def _words(self, encoding: Any, text: str) -> dict[str, bool]:
        """The words as they were written, and whether the vocabulary has them."""
        words: dict[str, bool] = {}
        for word, token in zip(encoding.word_ids, encoding.ids, strict=True):
            # Tokenizers of SentencePiece count the space before a word as its own.
            if word is not None and (written := text[slice(*encoding.word_to_chars(word))].strip()):
                words[written] = words.get(written, True) and token != self._unknown_id
        return words


def _listed(words: Sequence[str]) -> str:
    """The first words, cut to a length that fits into a message."""
    named = [word if len(word) <= _MAX_WORD else word[:_MAX_WORD] + "…" for word in words[:_MAX_WORDS]]
    more = [f"and {len(words) - _MAX_WORDS} more"] if len(words) > _MAX_WORDS else []
    return ", ".join([*named, *more])
