"""Owns the reading below one folder of a dataset: its files, which lie inside it, and the fields of their records."""

import json
import math
import os
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from encoders.errors import InvalidContent
from encoders.images.decoding import decode
from sources.formats import IMAGE_SUFFIXES
from training.datasets.report import Checks, FaultKind, Faults, RecordError

MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class DatasetRoot:
    """A folder, links to it resolved; links inside it must not lead out of it.

    `prefix` is where it lies in the dataset, for messages. With `decode` every image is decoded when it is looked for.
    """

    folder: Path
    prefix: str = ""
    decode: bool = False

    @classmethod
    def at(cls, folder: Path, *, decode: bool = False) -> "DatasetRoot":
        """The folder as it really lies; raises FileNotFoundError where there is none."""
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is not a folder; unpack the dataset there or name another place.")
        return cls(folder.resolve(), decode=decode)

    def child(self, name: str) -> "DatasetRoot":
        """A folder that belongs to the layout; it may be a link, for images often lie on another disk."""
        return replace(DatasetRoot.at(self.folder / name), prefix=f"{self.prefix}{name}/", decode=self.decode)

    def file(self, name: Any) -> Path:
        """The non-empty file that a record names by its path below this folder; raises RecordError."""
        if not is_text(name) or "\0" in name:
            raise RecordError(FaultKind.BAD_RECORD, f"{name!r} is not a path")
        if name.startswith(("/", "\\")) or ".." in Path(name).parts or Path(name).drive:
            raise RecordError(FaultKind.OUTSIDE_ROOT, f"{name} is not a path below the dataset's folder")
        shown = f"{self.prefix}{name}"
        for spelling in _spellings(name):
            path = Path(os.path.realpath(self.folder / spelling))
            if not path.is_relative_to(self.folder):
                raise RecordError(FaultKind.OUTSIDE_ROOT, f"{shown} is a link that leads out of the dataset's folder")
            try:
                return _require_content(path.stat(), path, shown)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise RecordError(FaultKind.BROKEN_FILE, f"{shown} cannot be read: {error.strerror}") from error
        raise RecordError(FaultKind.MISSING_FILE, f"{shown} is not there")

    def image(self, name: Any) -> Path:
        """An image that a record names; raises RecordError."""
        path = self.file(name)
        if self.decode:
            try:
                decode(path.read_bytes())
            except (InvalidContent, OSError) as error:
                raise RecordError(FaultKind.BROKEN_FILE, f"{self.prefix}{name}: {error}") from error
        return path

    def text(self, name: str) -> str:
        """A small text file as UTF-8, with or without a mark of it; raises RecordError."""
        try:
            return self.file(name).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise RecordError(
                FaultKind.BROKEN_FILE, f"{self.prefix}{name} is not UTF-8 at byte {error.start}"
            ) from error
        except OSError as error:
            raise RecordError(FaultKind.BROKEN_FILE, f"{self.prefix}{name} cannot be read: {error.strerror}") from error

    def lines(self, name: str, faults: Faults) -> list[tuple[str, str]]:
        """The lines of a text file that are not blank, each with its number in words; none where the file has a fault."""
        with faults.at(name):
            lines = enumerate(self.text(name).splitlines(), start=1)
            return [(f"line {number}", line.strip()) for number, line in lines if line.strip()]
        return []

    def json(self, name: str) -> Any:
        """A JSON file; raises RecordError with the line where it breaks."""
        try:
            return json.loads(self.text(name))
        except (ValueError, RecursionError) as error:
            raise RecordError(FaultKind.BROKEN_FILE, f"{self.prefix}{name} is not JSON: {error}") from error

    def images(self, pattern: str) -> list[str]:
        """The names below this folder of images that match, sorted, so that every machine has one order."""
        paths = (path for path in self.folder.glob(pattern) if path.suffix.lower() in IMAGE_SUFFIXES)
        names = (path.relative_to(self.folder) for path in paths)
        return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))


def open_dataset(root: Path, checks: Checks) -> tuple[DatasetRoot, Faults]:
    """The folder of a dataset, and what gathers the faults of its reading."""
    return DatasetRoot.at(root, decode=checks.get("decode", False)), Faults(checks)


def _spellings(name: str) -> tuple[str, ...]:
    """The name as written, then as other systems compose its accents."""
    if name.isascii():
        return (name,)
    return tuple(dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))))


def _require_content(status: os.stat_result, path: Path, shown: str) -> Path:
    if not stat.S_ISREG(status.st_mode):
        raise RecordError(FaultKind.BROKEN_FILE, f"{shown} is not a regular file")
    if not status.st_size:
        raise RecordError(FaultKind.BROKEN_FILE, f"{shown} is empty")
    return path


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
