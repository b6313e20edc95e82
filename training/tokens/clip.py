"""Owns CLIP's byte-level tokenizer, written as HuggingFace's `tokenizer.json` from the published merges."""

import gzip
import hashlib
import json
from pathlib import Path

import open_clip

from encoders.bundle import TextCleaning
from training.tokens.captions import between

MERGES_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGE_COUNT = 48_894
MAX_TOKENS = 77
CLEANING: TextCleaning = "clip"
START, END = "<start_of_text>", "<end_of_text>"

# U+0345, whose capital is a letter, belongs to no class where the published pattern ignores case: it is left out.
_WORDS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|\\p{L}+|\\p{N}|[^\\s\\p{L}\\p{N}\u0345]+"


def published_merges() -> Path:
    """Return the merges file that open_clip brings along, `bpe_simple_vocab_16e6.txt.gz`."""
    return Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"


def clip_tokenizer_json(merges_file: Path, *, max_tokens: int = MAX_TOKENS) -> str:
    """Write the tokenizer of training and serving, for texts that `CLEANING` has cleaned; a file with other bytes than the published ones is a ValueError.

    Long texts lose their last words, never the end-of-text. The special tokens are not part of what can be typed:
    `<end_of_text>` in a query is read as the characters that it is.
    """
    merges = _read_merges(merges_file)
    vocabulary = _vocabulary(merges)
    return json.dumps(
        {
            "version": "1.0",
            "truncation": {"direction": "Right", "max_length": max_tokens, "strategy": "LongestFirst", "stride": 0},
            "padding": None,
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": _WORDS}, "behavior": "Removed", "invert": True},
                    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
                ],
            },
            "post_processor": between((START, vocabulary[START]), (END, vocabulary[END])),
            "decoder": None,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": "</w>",
                "fuse_unk": False,
                "byte_fallback": False,
                "vocab": vocabulary,
                "merges": merges,
            },
        },
        ensure_ascii=False,
    )


def _read_merges(path: Path) -> list[list[str]]:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != MERGES_SHA256:
        raise ValueError(f"{path} is not the published merges file; its SHA-256 must be {MERGES_SHA256}.")
    lines = gzip.decompress(data).decode("utf-8").split("\n")
    # The first line is a header.
    return [line.split() for line in lines[1 : MERGE_COUNT + 1]]


def _vocabulary(merges: list[list[str]]) -> dict[str, int]:
    letters = _byte_letters()
    symbols = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge) for merge in merges), START, END]
    return {symbol: number for number, symbol in enumerate(symbols)}


def _byte_letters() -> list[str]:
    """Return the printable letter that stands for each of the 256 bytes, in the published order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(256 - len(printable))]
