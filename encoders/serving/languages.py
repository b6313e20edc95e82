"""Whether a text is in a language that a bundle does not read: by its script, by its small words, by what is unknown."""

import re
import unicodedata
from collections.abc import Sequence


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The languages of each script, whose letters' names begin with it in Unicode. Of other languages the script is not judged.
_LANGUAGES = {
    "LATIN": _words("cs da de en es et fi fr hr hu id it lt lv nl no pl pt ro sk sl sv tr vi"),
    "CYRILLIC": _words("be bg mk ru uk"),
    "GREEK": _words("el"),
    "ARABIC": _words("ar fa ur"),
    "HEBREW": _words("he"),
    "DEVANAGARI": _words("hi mr ne"),
    "THAI": _words("th"),
    "HANGUL": _words("ko"),
    "HIRAGANA": _words("ja"),
    "KATAKANA": _words("ja"),
    "CJK": _words("ja zh"),
}
_KNOWN_LANGUAGES = frozenset[str]().union(*_LANGUAGES.values())
# Small words that occur in nearly every sentence. Those of other languages are neither English nor parts of known names.
_SMALL_WORDS = {
    "de": _words("auf das dem der ein eine einem einen einer ist neben nicht und vor zwei zwischen"),
    "en": _words("a an and at by for from in is of on the to under with"),
    "es": _words("delante junto una unas unos"),
    "fr": _words("avec dans devant deux sous une"),
    "it": _words("davanti degli della delle nella sulla una"),
    "nl": _words("een het naast twee voor"),
    "pt": _words("numa uma umas"),
}
_WORD = re.compile(r"[^\W\d_]+")
# Fewer letters of another script are a symbol, as in "a 5 μm grain", not a language.
_LEAST_LETTERS = 2


def language_warning(text: str, languages: Sequence[str]) -> str:
    """Says why a text seems to be in none of these languages (BCP 47 tags); empty where nothing speaks for that.

    Without languages nothing is said. A text in another language with the same script is noticed by its small words only,
    so two or three nouns pass.
    """
    known = {language.split("-")[0] for language in languages}
    if not known:
        return ""
    if script := _other_script(text, known):
        return f"the text has {'Chinese' if script == 'CJK' else script.capitalize()} letters; {_reads(languages)}"
    words = set(_WORD.findall(text.lower()))
    own = frozenset[str]().union(*(_SMALL_WORDS.get(language, frozenset()) for language in known))
    foreign = frozenset[str]().union(*_SMALL_WORDS.values()) - own - _SMALL_WORDS["en"]
    # Without small words of its own a language cannot be distinguished from others by them.
    if known <= _SMALL_WORDS.keys() and len(words & foreign) > len(words & own):
        return f"the text seems to be in another language; {_reads(languages)}"
    return ""


def unknown_warning(unknown: int, words: int, languages: Sequence[str]) -> str:
    """Says that nearly all words of a text are unknown, where the bundle says which languages it reads."""
    if not languages or unknown < 3 or unknown * 4 < words * 3:
        return ""
    return f"{unknown} of {words} words are unknown; {_reads(languages)}"


def _other_script(text: str, languages: set[str]) -> str:
    """The script that the languages do not use and that has most letters of the text, if it has some."""
    if not languages <= _KNOWN_LANGUAGES:
        return ""
    others = [script for script, its_languages in _LANGUAGES.items() if not its_languages & languages]
    letters = [unicodedata.name(letter, "").split(" ")[0] for letter in text if letter.isalpha()]
    foreign = [script for script in letters if script in others]
    return max(others, key=foreign.count) if len(foreign) >= _LEAST_LETTERS else ""


def _reads(languages: Sequence[str]) -> str:
    named = ", ".join(languages[:8]) + (", …" if len(languages) > 8 else "")
    return f"this model reads: {named}"
