"""Owns the words of pedestrian captions: counting them, reading the published list, and the tokenizer both become."""

import json
import pickle
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from string import punctuation
from typing import Any, Never

from encoders.bundle import TextCleaning

MAX_TOKENS = 100
MAX_FILE_BYTES = 16 * 2**20
# Users cannot type them: all punctuation is deleted before words are looked up.
UNKNOWN, START, END = "[UNK]", "[START]", "[END]"
_DELETE_PUNCTUATION = str.maketrans("", "", punctuation)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words and their ids, the most frequent first; any other word is `unknown`.

    `has_ends` puts every caption between a start and an end, for networks that read a caption off its end; the end has
    the highest id of all, as CLIP's towers want it.
    """

    ids: Mapping[str, int]
    unknown: int
    has_ends: bool = False

    @classmethod
    def of(cls, captions: Iterable[str], *, min_count: int = 3, has_ends: bool = False) -> "Vocabulary":
        """Count the words of the training captions, in lower case; id 0 stays free for padding."""
        counts = Counter(word for caption in captions for word in words_of(caption.lower()))
        kept = [word for word, count in counts.most_common() if count >= min_count]
        return cls({word: number for number, word in enumerate(kept, start=1)}, len(kept) + 1, has_ends)

    @classmethod
    def published(cls, path: Path) -> "Vocabulary":
        """Read `word_to_index.pkl` (nothing in the file can run) or the same dictionary as JSON.

        There id 0 is the most frequent word, as in the checkpoints that go with it.
        """
        ids = _read_ids(path)
        if not isinstance(ids, dict) or not all(isinstance(key, str) and type(ids[key]) is int for key in ids):
            raise ValueError(f"{path} is not a dictionary from words to ids.")
        if sorted(ids.values()) != list(range(len(ids))):
            raise ValueError(f"{path}: the ids of {len(ids)} words are not 0 to {len(ids) - 1}, each once.")
        return cls(ids, unknown=len(ids))

    def __len__(self) -> int:
        """Return how many rows the embedding table needs, padding and the unknown word included."""
        return self.unknown + (3 if self.has_ends else 1)

    @property
    def is_lower(self) -> bool:
        """Whether case carries no meaning, as in every vocabulary that is counted here."""
        return all(word == word.lower() for word in self.ids)

    @property
    def text_cleaning(self) -> TextCleaning | None:
        """What must happen to a text before the tokenizer, which itself cannot try a word in several cases."""
        return None if self.is_lower else "known_case"

    def tokenizer_json(self, *, max_tokens: int = MAX_TOKENS) -> str:
        """Write the one tokenizer of training and serving, as HuggingFace's `tokenizer.json`.

        It is for texts that `text_cleaning` has cleaned. Captions are cut to `max_tokens`, the ends included and kept.
        """
        return json.dumps(
            {
                "version": "1.0",
                "truncation": {
                    "direction": "Right",
                    "max_length": max_tokens,
                    "strategy": "LongestFirst",
                    "stride": 0,
                },
                "padding": None,
                "added_tokens": [],
                "normalizer": {
                    "type": "Sequence",
                    "normalizers": [
                        {"type": "Replace", "pattern": {"Regex": r"[!-/:-@\[-`{-~]"}, "content": ""},
                        *([{"type": "Lowercase"}] if self.is_lower else []),
                    ],
                },
                "pre_tokenizer": {"type": "WhitespaceSplit"},
                "post_processor": between((START, self.unknown + 1), (END, self.unknown + 2))
                if self.has_ends
                else None,
                "decoder": None,
                "model": {"type": "WordLevel", "vocab": {**self.ids, UNKNOWN: self.unknown}, "unk_token": UNKNOWN},
            },
            ensure_ascii=False,
        )


def words_of(caption: str) -> list[str]:
    """Split as the published training did: every ASCII punctuation mark vanishes, then white space parts."""
    return caption.translate(_DELETE_PUNCTUATION).split()


def between(start: tuple[str, int], end: tuple[str, int]) -> dict[str, object]:
    """Describe the step that adds both tokens, each given as name and id, after the text was cut to leave room."""
    first, last = ({"SpecialToken": {"id": token, "type_id": 0}} for token, _ in (start, end))
    text, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [first, text, last],
        "pair": [first, text, second, last],
        "special_tokens": {token: {"id": token, "ids": [number], "tokens": [token]} for token, number in (start, end)},
    }


class _PlainUnpickler(pickle.Unpickler):
    """Reads dictionaries, strings and numbers; anything that would have to be looked up is refused."""

    def find_class(self, module: str, name: str) -> Never:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _read_ids(path: Path) -> Any:
    data = path.read_bytes()
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"{path} has {len(data)} bytes; a list of words has at most {MAX_FILE_BYTES}.")
    try:
        return json.loads(data) if data.lstrip()[:1] == b"{" else _PlainUnpickler(BytesIO(data)).load()
    except (pickle.UnpicklingError, ValueError, EOFError, IndexError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is not a plain dictionary from words to ids: {error}.") from error
