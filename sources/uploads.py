"""Uploads: image bytes that came without a readable path, stored under the SHA-256 of their content.

A file is removed in two steps, so that a concurrent upload of the same bytes is never lost: it is set aside under
another name, then removed or restored. An upload is written once more when its image is durable, see `IngestStream`.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sources.errors import MissingSourceError, SourceError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ASIDE = ".aside"


class Uploads:
    """A folder of stored images, with two hex digits as subfolder: `ab/ab12…`."""

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)

    def keep(self, sha256: str, data: bytes) -> None:
        """Write the bytes atomically, unless they are stored already.

        Survives a crash of the process but not a power failure, like the embedded stores beside it.
        """
        path = self._path(sha256)
        if path.exists():
            return
        with _source_errors("kept"):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_atomically(path, data)

    def read(self, sha256: str) -> bytes:
        """The stored bytes; raises MissingSourceError."""
        with _source_errors("read"):
            try:
                return self._path(sha256).read_bytes()
            except FileNotFoundError as error:
                raise MissingSourceError("the bytes of this image were not kept") from error

    def size(self, sha256: str) -> int:
        """The size of the stored bytes, 0 where they are not stored."""
        with _source_errors("read"):
            path = self._path(sha256)
            return path.stat().st_size if path.exists() else 0

    def kept(self) -> Iterator[str]:
        """The SHA-256 of every file that is stored or set aside."""
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            sha256 = path.name.removesuffix(_ASIDE)
            if _SHA256.fullmatch(sha256):
                yield sha256

    def has(self, sha256: str) -> bool:
        """Whether these bytes are stored or set aside."""
        path = self._path(sha256)
        return path.exists() or _aside(path).exists()

    def set_aside(self, sha256: str) -> None:
        """Take a file out of use; keeping the same bytes from now on writes them again."""
        path = self._path(sha256)
        with _source_errors("set aside"), suppress(FileNotFoundError):
            path.replace(_aside(path))

    def restore(self, sha256: str) -> None:
        """Put back a file that was set aside; the same bytes may have been written again meanwhile."""
        path = self._path(sha256)
        with _source_errors("restored"), suppress(FileNotFoundError):
            _aside(path).replace(path)

    def remove(self, sha256: str) -> None:
        """Delete a file that was set aside."""
        with _source_errors("removed"):
            _aside(self._path(sha256)).unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        # The key comes from outside and becomes a path, so nothing but hex digits may pass.
        if not _SHA256.fullmatch(sha256):
            raise SourceError("a sha256 is 64 lowercase hex digits")
        return self._folder / sha256[:2] / sha256


def _aside(path: Path) -> Path:
    return path.with_name(path.name + _ASIDE)


@contextmanager
def _source_errors(step: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"the upload cannot be {step}: {error.strerror}") from error


def _write_atomically(path: Path, data: bytes) -> None:
    file, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
