"""Owns the checking of single fields of records that strangers wrote."""

import math
from collections.abc import Mapping
from typing import Any

from training.datasets.report import FaultKind, RecordError

MAX_DIGITS = 18


def is_text(value: Any) -> bool:
    """Whether a value is a text with more than white space that every file and tokenizer can hold."""
    if not isinstance(value, str) or not value.strip():
        return False
    # JSON can hold half a character, which no encoding can.
    return not any("\ud800" <= character <= "\udfff" for character in value)


def require_mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object; raises RecordError."""
    if not isinstance(value, dict):
        raise RecordError(FaultKind.BAD_RECORD, f"{_short(value)} is not an object")
    return value


def list_of(record: Mapping[str, Any], field: str) -> list[Any]:
    """A field that must be a list; raises RecordError."""
    value = record.get(field)
    if not isinstance(value, list):
        raise RecordError(FaultKind.BAD_RECORD, f"`{field}` is {_short(value)}, not a list")
    return value


def text_of(record: Mapping[str, Any], field: str) -> str:
    """A field that must be a text with more than white space; raises RecordError."""
    value = record.get(field)
    if not is_text(value):
        raise RecordError(FaultKind.BAD_RECORD, f"`{field}` is {_short(value)}, not a text")
    return str(value)


def integer_of(record: Mapping[str, Any], field: str, *, at_least: int = 0) -> int:
    """A field that must be a whole number of at least `at_least`; raises RecordError."""
    value = record.get(field)
    if type(value) is not int or not at_least <= value < 10**MAX_DIGITS:
        raise RecordError(FaultKind.BAD_RECORD, f"`{field}` is {_short(value)}, not a whole number from {at_least}")
    return value


def integer_in(text: str, what: str, *, at_least: int = 0) -> int:
    """A whole number that a file holds as text, plain digits only; raises RecordError."""
    digits = text.strip()
    is_number = digits.isascii() and digits.removeprefix("-").isdigit() and len(digits) <= MAX_DIGITS
    if not is_number or int(digits) < at_least:
        raise RecordError(FaultKind.BAD_RECORD, f"{what} is {_short(text)}, not a whole number from {at_least}")
    return int(digits)


def number_in(value: Any, what: str) -> float:
    """A finite number, as it is or as text; raises RecordError."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise RecordError(FaultKind.BAD_RECORD, f"{what} is {_short(value)}, not a number")
    return number


def _short(value: Any) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
