"""How texts are cleaned before they are split into tokens, as in the training of their model."""

import html
from collections.abc import Callable

import ftfy
from tokenizers import Tokenizer

from encoders.bundle import TextCleaning

Cleaner = Callable[[str], str]


def cleaner_of(cleaning: TextCleaning | None, tokenizer: Tokenizer) -> Cleaner:
    """The cleaning by its name in a bundle; None leaves texts as they are."""
    match cleaning:
        case None:
            return str
        case "clip":
            return clean_as_clip
        case "known_case":
            return _in_known_case(tokenizer)


def clean_as_clip(text: str) -> str:
    """Repair mojibake, typographic quotes and wide letters (ftfy), read HTML's entities twice, lower-case.

    Every run of white space becomes one space.
    """
    repaired = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(repaired.split()).lower()


def _in_known_case(tokenizer: Tokenizer) -> Cleaner:
    """Spell each word as the vocabulary does: as it stands, else in lower case, else capitalised."""
    known = frozenset(tokenizer.get_vocab())

    def known_spelling(word: str) -> str:
        spellings = (word, word.lower(), word.capitalize())
        return next((spelling for spelling in spellings if spelling in known), word)

    def clean(text: str) -> str:
        plain = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
        return " ".join(map(known_spelling, plain.split()))

    return clean
