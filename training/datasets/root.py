"""Owns the reading below one folder of a dataset: what its files name is found inside it or nowhere."""

import json
import os
import stat
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from encoders.errors import InvalidContent
from encoders.images.decoding import decode
from sources.formats import IMAGE_SUFFIXES
from training.datasets.fields import is_text
from training.datasets.report import FaultKind, RecordError


@dataclass(frozen=True, slots=True)
class DatasetRoot:
    """A folder, links to it resolved; links inside it must not lead out of it.

    `prefix` is where it lies in the dataset, for messages. With `decode` every picture is decoded when it is looked for.
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
        """A folder that belongs to the layout; it may be a link, for pictures often lie on another disk."""
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

    def picture(self, name: Any) -> Path:
        """A picture that a record names; raises RecordError."""
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

    def json(self, name: str) -> Any:
        """A JSON file; raises RecordError with the line where it breaks."""
        try:
            return json.loads(self.text(name))
        except (ValueError, RecursionError) as error:
            raise RecordError(FaultKind.BROKEN_FILE, f"{self.prefix}{name} is not JSON: {error}") from error

    def pictures(self, pattern: str) -> list[str]:
        """The names below this folder of pictures that match, sorted, so that every machine has one order."""
        paths = (path for path in self.folder.glob(pattern) if path.suffix.lower() in IMAGE_SUFFIXES)
        names = (path.relative_to(self.folder) for path in paths)
        return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))


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
