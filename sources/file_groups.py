"""Files grouped by reason, so that a thousand files that are left out for the same reason are one line."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

_MAX_GROUPS = 100
_MAX_NAMED = 1000
_OTHER_REASONS = "and more that differ from these"


@dataclass(frozen=True, slots=True)
class FileGroup:
    """`count` files that share a reason; the first of them are named."""

    reason: str
    count: int
    uris: tuple[str, ...]


class FilesByReason:
    """Files with a reason each, in bounded memory: all are counted, the first are named. Safe for one writing thread."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._uris: defaultdict[str, list[str]] = defaultdict(list)

    @property
    def count(self) -> int:
        """How many files were added."""
        return self._counts.total()

    @classmethod
    def of(cls, groups: Iterable[FileGroup]) -> Self:
        """What was listed elsewhere; groups of one reason become one."""
        files = cls()
        for group in groups:
            files._uris[group.reason] += group.uris[: _MAX_NAMED - len(files._uris[group.reason])]
            files._counts[group.reason] += group.count
        return files

    def add(self, uri: str, reason: str) -> None:
        """Add one file."""
        key = reason if reason in self._counts or len(self._counts) < _MAX_GROUPS else _OTHER_REASONS
        if len(self._uris[key]) < _MAX_NAMED:
            # Every message and terminal can show it: bytes that are not UTF-8 become `\xff`.
            self._uris[key].append(uri.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
        # Counted last, so that a thread that lists finds the names of every reason with a count.
        self._counts[key] += 1

    def listed(self, named: int = _MAX_NAMED) -> tuple[FileGroup, ...]:
        """The groups, the largest first, with up to `named` files each."""
        groups = self._counts.most_common()
        return tuple(FileGroup(reason, count, tuple(self._uris[reason][:named])) for reason, count in groups)
