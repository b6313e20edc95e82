"""Metadata files: JSON lines that give the images of a folder their metadata, and what is wrong with such a file."""

import json
import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from google.protobuf.struct_pb2 import Struct

from cli.errors import CommandFailed
from domain.limits import MAX_METADATA_LEVELS
from rpc.errors import InvalidArgument
from rpc.metadata import struct_of_json

_FORM = '{"file": name, "metadata": {…}}'


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """Metadata by absolute path, the line that gave it, and warnings for the user."""

    path: Path
    by_path: dict[str, Struct]
    lines: dict[str, int]
    warnings: tuple[str, ...]

    def unmatched(self, files: Container[str]) -> list[str]:
        """One sentence for each line that describes none of these files."""
        return [
            f"{self.path}, line {number}: {file} is not among the images"
            for file, number in self.lines.items()
            if file not in files
        ]


NO_METADATA = MetadataFile(Path(), {}, {}, ())


def read_metadata_file(path: Path) -> MetadataFile:
    """Read a file whose names are relative to its folder; CommandFailed names the line at fault."""
    by_path: dict[str, Struct] = {}
    lines: dict[str, int] = {}
    warnings = []
    folder, resolved = path.parent.resolve(), cache(os.path.realpath)
    for number, line in _lines(path):
        try:
            name, metadata = _entry(line)
            # As a scan gives it: without links on the way, the last part as it is.
            named = folder / name
            file = str(Path(resolved(named.parent), named.name))
        except InvalidArgument as error:
            raise CommandFailed(f"{path}, line {number}: {error.message}") from error
        except ValueError as error:
            raise CommandFailed(f"{path}, line {number} is not {_FORM}: {error}") from error
        if file in lines:
            warnings.append(f"{path}, line {number}: {name} was in line {lines[file]} too; this line counts")
        by_path[file], lines[file] = metadata, number
    return MetadataFile(path, by_path, lines, tuple(warnings))


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
    """The name and the metadata of one line; ValueError or InvalidArgument says what is wrong with it."""
    try:
        entry = json.loads(line)
    except RecursionError:
        raise ValueError(f"the metadata is nested deeper than {MAX_METADATA_LEVELS} levels") from None
    match entry:
        case {"file": str(name), "metadata": dict(metadata)}:
            name.encode()  # half of a surrogate pair names no file
            return name, struct_of_json(metadata)
        case {"file": str()}:
            raise ValueError('"metadata" must be an object')
        case dict():
            raise ValueError('"file" must be a text')
    raise ValueError("it is not a JSON object")
