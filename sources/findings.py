"""Findings: what is to be said about files, grouped by what it is, so that a thousand files of one kind are one line."""

from dataclasses import dataclass, field

_MAX_GROUPS = 100
_MAX_NAMED = 1000
_REST = "and more that differ from these"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is to be said about `count` files, of which the first are named."""

    reason: str
    count: int
    uris: tuple[str, ...]


@dataclass(slots=True)
class _Group:
    count: int = 0
    uris: list[str] = field(default_factory=list)


class Findings:
    """Files with a reason each, in bounded memory: all are counted, the first are named.

    One thread may add while others list.
    """

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    @property
    def count(self) -> int:
        """How often something was added."""
        return sum(group.count for group in self._groups.values())

    def add(self, uri: str, reason: str) -> None:
        """Say something about one file."""
        key = reason if reason in self._groups or len(self._groups) < _MAX_GROUPS else _REST
        group = self._groups.setdefault(key, _Group())
        group.count += 1
        if len(group.uris) < _MAX_NAMED:
            group.uris.append(printable(uri))

    def listed(self, named: int = _MAX_NAMED) -> tuple[Finding, ...]:
        """What was found, the most frequent first, with up to `named` files each."""
        found = [
            Finding(reason, group.count, tuple(group.uris[:named])) for reason, group in tuple(self._groups.items())
        ]
        return tuple(sorted(found, key=lambda finding: -finding.count))


def printable(name: str) -> str:
    r"""A name that every message and terminal can carry; bytes that are not UTF-8 are shown as `\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
