"""Following a folder by looking at it again and again, which works on every file system."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cli.file_ingest import FileOutcome, Signature, signature_of
from sources.scan import FolderScan

_FIRST_BACKOFF_S = 2.0
_LONGEST_BACKOFF_S = 300.0


@dataclass(frozen=True, slots=True)
class FolderLook:
    """What one look found: files that are new or changed and stay as they are, and files that were removed."""

    scan: FolderScan
    settled: tuple[str, ...]
    removed: frozenset[str]


@dataclass(slots=True)
class _Sent:
    """A file as it was when it was read for sending, and the last look that saw it."""

    signature: Signature
    look: int


@dataclass(slots=True)
class _Retry:
    """When to send a file again whose failure may pass."""

    backoff_s: float
    due_s: float


class FolderWatch:
    """What was sent of a folder, so that each look finds what there is to do; memory grows with the files only."""

    def __init__(self, folder: str, *, exclude: Sequence[str] = ()) -> None:
        self._folder = folder
        self._exclude = exclude
        self.sent: dict[str, _Sent] = {}
        self._unsettled: dict[str, Signature] = {}
        self._missing: set[str] = set()
        self._retries: dict[str, _Retry] = {}
        self._looks = 0

    def settle(self, outcome: FileOutcome) -> None:
        """Remember a file that was sent: it is sent again when it changes, or later where its failure may pass."""
        if outcome.may_pass:
            former = self._retries.get(outcome.uri)
            backoff_s = min(2 * former.backoff_s, _LONGEST_BACKOFF_S) if former else _FIRST_BACKOFF_S
            self._retries[outcome.uri] = _Retry(backoff_s, time.monotonic() + backoff_s)
            self.sent.pop(outcome.uri, None)
            return
        self._retries.pop(outcome.uri, None)
        if outcome.signature:
            self.sent[outcome.uri] = _Sent(outcome.signature, self._looks)

    def forget(self, files: Iterable[str]) -> None:
        """Forget removed files; one that comes back is new."""
        for file in files:
            self.sent.pop(file, None)
            self._retries.pop(file, None)

    def look(self) -> FolderLook:
        """Look at the folder; blocking. What changed or vanished counts when two looks agree.

        Raises SourceError while the folder is away, and then no file counts as removed.
        """
        scan = FolderScan(self._folder, exclude=self._exclude)
        self._looks += 1
        changed = self._changed(scan)
        # A file that looks the same twice is not being written any more.
        settled = tuple(
            file for file, seen in changed.items() if self._unsettled.get(file) == seen and self._is_due(file)
        )
        missing = {file for file, sent in self.sent.items() if sent.look != self._looks}
        missing |= self._retries.keys() - changed.keys()
        removed = frozenset(missing & self._missing)
        self._unsettled, self._missing = changed, missing
        return FolderLook(scan, settled, removed)

    def _changed(self, scan: FolderScan) -> dict[str, Signature]:
        """Files that are not as they were sent."""
        changed: dict[str, Signature] = {}
        for file in scan:
            sent = self.sent.get(file)
            if sent:
                sent.look = self._looks
            try:
                signature = signature_of(file)
            except OSError:
                continue
            if sent is None or sent.signature != signature:
                changed[file] = signature
        return changed

    def _is_due(self, file: str) -> bool:
        return file not in self._retries or self._retries[file].due_s <= time.monotonic()
