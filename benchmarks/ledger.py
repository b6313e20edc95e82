"""What the system acknowledged, and whether it keeps it."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_REASON_CHARACTERS = 120


@dataclass(slots=True)
class Ledger:
    """Each uri is live, with the number of its image, or deleted, or in neither state while nobody can know.

    A write that was sent may happen without an answer, so only what was acknowledged and not touched since counts.
    """

    live: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    # Live uris that may be deleted, the oldest first.
    deletable: deque[str] = field(default_factory=deque)
    acknowledged: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def sending(self, uri: str, number: int) -> None:
        """An image is on its way; the same image again changes nothing that is known."""
        self.deleted.discard(uri)
        if self.live.get(uri) != number:
            self.live.pop(uri, None)

    def added(self, kind: str, uri: str, number: int, status: str) -> None:
        """The image is there."""
        self.live[uri] = number
        self.acknowledged[f"{kind} {status}"] += 1

    def deleting(self, uris: Iterable[str]) -> None:
        """Images are to go."""
        for uri in uris:
            self.live.pop(uri, None)

    def gone(self, uris: Iterable[str]) -> None:
        """The images are deleted."""
        gone = set(uris)
        self.deleted |= gone
        self.acknowledged["deleted"] += len(gone)

    def failed(self, kind: str, reason: str, count: int = 1) -> None:
        """Items were not taken, or a call failed."""
        self.failures[f"{kind}: {reason[:_REASON_CHARACTERS]}"] += count

    def lost(self, stored: Mapping[str, str], sha256s: Mapping[int, str]) -> list[str]:
        """Acknowledged uris that are not stored with the bytes they must have; `stored` is the SHA-256 by uri."""
        return [uri for uri, number in self.live.items() if stored.get(uri) != sha256s[number]]

    def risen(self, stored: Mapping[str, str]) -> list[str]:
        """Uris that are stored although their deletion was acknowledged."""
        return sorted(self.deleted & stored.keys())
