"""A foreign `tokenizer.json`, changed to what the spec of its text model says."""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, normalizers
from tokenizers.processors import TemplateProcessing

from encoders.bundle import TextCleaning
from encoders.errors import BundleError, first_line
from encoders.importers.model_file import read_tokenizer_file
from encoders.importers.onnx.text_spec import TextSpec
from encoders.text_cleaning import cleaner_of

_USUAL_PADDING = ("<pad>", "[PAD]")


@dataclass(frozen=True, slots=True)
class TextPreparation:
    """The bytes of a bundle's `tokenizer.json`, the cleaning before it, the padding's id and the largest id that occurs."""

    tokenizer_json: bytes
    text_cleaning: TextCleaning | None
    pad_id: int
    largest_id: int
    length: int

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """The ids of each text, as serving computes them."""
        tokenizer = Tokenizer.from_str(self.tokenizer_json.decode())
        clean = cleaner_of(self.text_cleaning, tokenizer)
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=self.length)
        return [np.asarray(tokenizer.encode(clean(text)).ids, np.int64) for text in texts]


def prepare_texts(path: Path, spec: TextSpec) -> TextPreparation:
    """Read a tokenizer and put the spec's start, end and cleaning into it; `BundleError` where it does not know them."""
    data = read_tokenizer_file(path)
    try:
        preparation = _prepared(path, data, spec)
        tokens = preparation.tokens(("a photo of a cat",))
    except BundleError:
        raise
    except BaseException as error:  # the library raises bare Exception, and where it panics not even that
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise BundleError(f"{path} is not a tokenizer: {first_line(error)}") from error
        raise
    if not len(tokens[0]):
        raise BundleError(f"{path} finds no token in a text.")
    return preparation


def _prepared(path: Path, data: bytes, spec: TextSpec) -> TextPreparation:
    tokenizer = Tokenizer.from_str(data.decode("utf-8"))
    pad_id = _pad_id(path, tokenizer, spec)
    if spec.start or spec.end:
        _surround(path, tokenizer, spec)
        data = tokenizer.to_str().encode()
    if spec.cleaning == "canonicalize":
        _remove_punctuation(tokenizer)
        data = tokenizer.to_str().encode()
    return TextPreparation(
        tokenizer_json=data,
        text_cleaning=None if spec.cleaning == "none" else "clip",
        pad_id=pad_id,
        largest_id=max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0),
        length=spec.length,
    )


def _pad_id(path: Path, tokenizer: Tokenizer, spec: TextSpec) -> int:
    if isinstance(spec.pad, int):
        return spec.pad
    if spec.pad is not None:
        return _id_of(path, tokenizer, spec.pad)
    if tokenizer.padding:
        return int(tokenizer.padding["pad_id"])
    known = (tokenizer.token_to_id(token) for token in _USUAL_PADDING)
    return next((found for found in known if found is not None), 0)


def _surround(path: Path, tokenizer: Tokenizer, spec: TextSpec) -> None:
    tokens = [token for token in (spec.start, spec.end) if token]
    single = [*([spec.start] if spec.start else []), "$A", *([spec.end] if spec.end else [])]
    special = [(token, _id_of(path, tokenizer, token)) for token in dict.fromkeys(tokens)]
    tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=special)


def _id_of(path: Path, tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise BundleError(f"{path} knows no token {token!r}.")
    return int(found)


def _remove_punctuation(tokenizer: Tokenizer) -> None:
    """Canonicalise as SigLIP's training did: underscores separate words, ASCII punctuation vanishes."""
    steps = [
        normalizers.Replace("_", " "),
        normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ]
    if tokenizer.normalizer is not None:
        steps.append(tokenizer.normalizer)
    tokenizer.normalizer = normalizers.Sequence(steps)
