"""JSON objects that describe foreign models: read from small files and checked key by key."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from encoders.errors import BundleError
from encoders.importers.model_file import read_text_file

Described = TypeVar("Described")


def read_spec(path: Path, of: Callable[[object], Described]) -> Described:
    """Check the JSON of a file with `of`; raises `BundleError` with the file, and the line or the key that is wrong."""
    described = _read_object(path)
    try:
        return of(described)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def checked(cls: type[Described], described: object, expected: Mapping[str, str], *, part: str = "") -> Described:
    """Make a dataclass of a JSON object; `expected` says what each key must be, `part` is its key in a larger spec."""
    if not isinstance(described, dict):
        raise BundleError(
            f"The spec's {part} is not a JSON object."
            if part
            else 'A spec is one JSON object, such as {"size": [224, 224]}.'
        )
    prefix = f"{part}." if part else ""
    for key, value in described.items():
        if key not in expected:
            raise BundleError(f"The spec's key {prefix + key!r} is unknown; the keys are {', '.join(expected)}.")
        if value is None:
            raise _wrong(prefix + key, value, expected[key])
    try:
        return TypeAdapter(cls).validate_python(described)
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        if key not in described:
            raise BundleError(f'The spec needs "{prefix}{key}": {expected[key]}.') from error
        raise _wrong(prefix + key, described[key], expected[key]) from error


def _read_object(path: Path) -> object:
    try:
        described: object = json.loads(read_text_file(path))
    except json.JSONDecodeError as error:
        raise BundleError(f"{path}, line {error.lineno} is not JSON: {error.msg}.") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not the JSON object of a spec.") from error
    return described


def _wrong(key: str, value: object, expected: str) -> BundleError:
    return BundleError(f"The spec's {key} is {json.dumps(value)[:80]}; it must be {expected}.")
