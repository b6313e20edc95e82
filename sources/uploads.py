"""Uploads: the bytes of pictures that came without a readable path, kept under the SHA-256 of their content.

A file is removed in two steps, so that nobody who keeps the same bytes meanwhile loses them: it is set aside under
another name, then removed for good or restored. Who keeps bytes looks for them once more when they are in use.
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
    """A folder of kept pictures, two hex digits a subfolder: `ab/ab12…`."""

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)

    def keep(self, sha256: str, data: bytes) -> None:
        """Writes the bytes whole or not at all; keeping the same bytes again costs nothing.

        Survives the death of the process, not a loss of power, like the embedded stores beside it.
        """
        path = self._path(sha256)
        if path.exists():
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(path, data)
        except OSError as error:
            raise SourceError(f"the upload cannot be kept: {error.strerror}") from error

    def read(self, sha256: str) -> bytes:
        """The bytes that were kept; raises MissingSourceError."""
        try:
            return self._path(sha256).read_bytes()
        except FileNotFoundError as error:
            raise MissingSourceError("the bytes of this picture were not kept") from error
        except OSError as error:
            raise SourceError(f"the upload cannot be read: {error.strerror}") from error

    def kept(self) -> Iterator[str]:
        """The SHA-256 of everything that is kept or set aside."""
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            sha256 = path.name.removesuffix(_ASIDE)
            if _SHA256.fullmatch(sha256):
                yield sha256

    def has(self, sha256: str) -> bool:
        """Whether these bytes are kept or set aside."""
        path = self._path(sha256)
        return path.exists() or _aside(path).exists()

    def set_aside(self, sha256: str) -> None:
        """Take a file out of use; whoever keeps the same bytes from now on writes them again."""
        path = self._path(sha256)
        with _refusing("set aside"), suppress(FileNotFoundError):
            path.replace(_aside(path))

    def restore(self, sha256: str) -> None:
        """Bring a file back that was set aside; the same bytes may have been kept again meanwhile."""
        path = self._path(sha256)
        with _refusing("restored"), suppress(FileNotFoundError):
            _aside(path).replace(path)

    def remove(self, sha256: str) -> None:
        """Remove a file that was set aside, for good."""
        with _refusing("removed"):
            _aside(self._path(sha256)).unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise SourceError("a sha256 is 64 lowercase hex digits")
        return self._folder / sha256[:2] / sha256


def _aside(path: Path) -> Path:
    return path.with_name(path.name + _ASIDE)


@contextmanager
def _refusing(step: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"the upload cannot be {step}: {error.strerror}") from error


def _write_whole(path: Path, data: bytes) -> None:
    file, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
