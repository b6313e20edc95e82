"""Files that are read again when they change: certificates and tokens."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

_PERIOD_S = 1.0

_Content = TypeVar("_Content")
_Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]

logger = logging.getLogger(__name__)


class UnusableFile(Exception):
    """What is wrong with a file of certificates or tokens, in one sentence; never with its content."""


class WatchedFiles(Generic[_Content]):
    """What `read` makes of files, at most a second after they changed; safe to use from all threads.

    The first reading raises UnusableFile. Later, files that cannot be used leave the former content in force, with an
    error in the log: a certificate may arrive a moment before its key.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], _Content]) -> None:
        self.paths = paths
        self._read = read
        self._stamp = self._stamp_now()
        self._content = read()
        self._looked_s = time.monotonic()
        self._lock = threading.Lock()

    def get(self) -> _Content:
        """The content; the same object as long as nothing changes."""
        if time.monotonic() - self._looked_s > _PERIOD_S and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._content

    def _look(self) -> None:
        self._looked_s = time.monotonic()
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return
        names = ", ".join(str(path) for path in self.paths)
        try:
            content = self._read()
        except UnusableFile as error:
            self._stamp = stamp
            logger.error("files that changed cannot be used; what they held before stays", extra={"cause": str(error)})  # noqa: TRY400 - the sentence is the cause
            return
        # What changed meanwhile may be half of it: it is read again the next time.
        if self._stamp_now() == stamp:
            self._stamp, self._content = stamp, content
            logger.info("files were read again", extra={"files": names})

    def _stamp_now(self) -> _Stamp:
        return tuple(map(_stamp_of, self.paths))


def read_file(path: Path) -> bytes:
    """The bytes of a file; UnusableFile says why there are none."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}") from error


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
