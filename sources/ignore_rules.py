"""Ignore rules: which paths a scan skips on request, as patterns in gitignore's syntax."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from pathspec import PathSpec, RegexPattern

from sources.errors import PatternError, SourceError

IGNORE_FILE = ".foveaignore"

_MAX_IGNORE_FILE_BYTES = 1 << 20
_TRAILING_STARS = re.compile(r"(^!?|/)(\*+)(/?) *$")

_Patterns: TypeAlias = tuple[RegexPattern, ...]
"""The last line first, because the last match decides."""


class IgnoreRules:
    """The patterns that apply in one folder: the caller's first, then those of `.foveaignore` files, deepest first.

    The first match decides, as in git. A path is tested only when none of the folders above it is ignored, so each
    pattern is matched against the path itself and not against those folders.
    """

    def __init__(self, levels: tuple[tuple[str, _Patterns], ...]) -> None:
        self._levels = levels

    @classmethod
    def below(cls, root: str, patterns: Iterable[str]) -> "IgnoreRules":
        """A caller's patterns, relative to `root`; raises PatternError for one that is not valid."""
        return cls(((root, _parsed(patterns)),))

    def inside(self, folder: str) -> "IgnoreRules":
        """These rules and the folder's own ignore file, if it has one; raises SourceError if it is unusable."""
        lines = _lines(Path(folder, IGNORE_FILE))
        if not lines:
            return self
        callers, *files = self._levels
        return IgnoreRules((callers, (folder, _parsed(lines)), *files))

    def ignores(self, path: str) -> bool:
        """Whether a path below the folder is ignored; the path of a folder ends with a slash."""
        for folder, patterns in self._levels:
            relative = path[len(folder.rstrip("/")) + 1 :]
            for pattern in patterns:
                if pattern.regex and pattern.regex.fullmatch(relative):
                    return bool(pattern.include)
        return False


def _parsed(lines: Iterable[str]) -> _Patterns:
    try:
        patterns = PathSpec.from_lines("gitignore", map(_explicit, lines)).patterns
    except ValueError as error:
        raise PatternError(f"a pattern is not in gitignore's syntax: {error}") from error
    return tuple(each for each in reversed(list(patterns)) if isinstance(each, RegexPattern) and each.regex)


def _explicit(line: str) -> str:
    """The pattern with trailing stars spelled out: pathspec would let them match a path through its parent folders."""
    return _TRAILING_STARS.sub(
        lambda found: f"{found[1]}{'**/' if (found[1], found[2]) == ('/', '**') else ''}?*{found[3]}", line
    )


def _lines(path: Path) -> list[str]:
    """The lines of an ignore file, decoded as file names are; none if there is no such file."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_IGNORE_FILE_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SourceError(f"its {IGNORE_FILE} cannot be read: {error.strerror}") from error
    if len(data) > _MAX_IGNORE_FILE_BYTES:
        raise SourceError(f"its {IGNORE_FILE} is larger than {_MAX_IGNORE_FILE_BYTES >> 20} MiB")
    return [line.removesuffix("\r") for line in os.fsdecode(data.removeprefix(b"\xef\xbb\xbf")).split("\n")]
