"""Uploads: the bytes of pictures that came without a readable path, kept under the SHA-256 of their content."""

import os
import re
import tempfile
from pathlib import Path

from sources.errors import MissingSourceError, SourceError

_SHA256 = re.compile(r"[0-9a-f]{64}")


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

    def _path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise SourceError("a sha256 is 64 lowercase hex digits")
        return self._folder / sha256[:2] / sha256


def _write_whole(path: Path, data: bytes) -> None:
    file, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
