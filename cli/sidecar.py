"""Sidecars: JSON lines that give the images of a folder their metadata, and what is wrong with such a file."""

import json
import os
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.struct_pb2 import Struct

from cli.failure import CommandFailed
from domain.limits import MAX_METADATA_LEVELS
from rpc.errors import InvalidArgument
from rpc.metadata import struct_of_json

_FORM = '{"file": name, "metadata": {…}}'


@dataclass(frozen=True, slots=True)
class Sidecar:
    """Metadata by absolute path, the line that gave it, and what a person should know about the file."""

    path: Path
    metadata: dict[str, Struct]
    lines: dict[str, int]
    warnings: tuple[str, ...]

    def unmatched(self, files: Container[str]) -> list[str]:
        """One sentence for each line that describes none of these files."""
        return [
            f"{self.path}, line {number}: {file} is not among the images"
            for file, number in self.lines.items()
            if file not in files
        ]


NO_SIDECAR = Sidecar(Path(), {}, {}, ())


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar, whose names are as seen from its folder; CommandFailed names the line at fault."""
    metadata: dict[str, Struct] = {}
    lines: dict[str, int] = {}
    warnings = []
    located = _locator(path.parent.resolve())
    for number, line in _lines(path):
        try:
            name, described = _entry(line)
            file = located(name)
        except InvalidArgument as error:
            raise CommandFailed(f"{path}, line {number}: {error.message}") from error
        except ValueError as error:
            raise CommandFailed(f"{path}, line {number} is not {_FORM}: {error}") from error
        if file in lines:
            warnings.append(f"{path}, line {number}: {name} was in line {lines[file]} too; this line counts")
        metadata[file], lines[file] = described, number
    return Sidecar(path, metadata, lines, tuple(warnings))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, with their numbers; only a line feed ends one, since other separators are text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise CommandFailed(f"{path}, line {number} is not UTF-8: save the file as UTF-8") from error
    if text.lstrip().startswith("["):
        raise CommandFailed(f"{path} is a JSON array: write each of its objects on a line of its own, without commas")
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def _entry(line: str) -> tuple[str, Struct]:
    """The name and the metadata that one line gives; ValueError or InvalidArgument says why it gives none."""
    match _parsed(line):
        case {"file": str(name), "metadata": dict(metadata)}:
            name.encode()  # half of a surrogate pair names no file
            return name, struct_of_json(metadata)
        case {"file": str()}:
            raise ValueError('"metadata" must be an object')
        case dict():
            raise ValueError('"file" must be a text')
    raise ValueError("it is not a JSON object")


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except RecursionError:
        raise ValueError(f"the metadata is nested deeper than {MAX_METADATA_LEVELS} levels") from None


def _locator(folder: Path) -> Callable[[str], str]:
    """How a name in a sidecar becomes the path that a scan gives: without links on the way, the last part as it is."""
    resolved = cache(os.path.realpath)

    def located(name: str) -> str:
        path = folder / name
        return str(Path(resolved(path.parent), path.name))

    return located
