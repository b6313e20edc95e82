"""`python -m services.encoder.fetch FOLDER URL#sha256=… …`: fetches zip archives of bundles, and unpacks those that are right.

It runs before an encoder where nothing else brings the bundles, as an init container for example.
"""

import hashlib
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.parse import urldefrag

_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20
MAX_BYTES = 8 << 30
"""Of one archive, and of what is in it."""


class FetchError(Exception):
    """Why a bundle was not fetched, in one line for whoever wrote the address."""


def fetch(folder: Path, address: str) -> None:
    """Unpack the archive of an address into a folder; FetchError where it is another one than its SHA-256 says."""
    url, fragment = urldefrag(address)
    expected = fragment.removeprefix("sha256=")
    if len(expected) != 64 or not url.startswith("https://"):
        raise FetchError(f"{url} cannot be fetched: write https://…#sha256= and the 64 digits of the archive")
    # On the same file system as the bundles: nothing else can be written to.
    with tempfile.TemporaryFile(dir=folder) as archive:
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 - https alone, see above
                digest = _save(response, archive)
        except (URLError, OSError) as error:
            raise FetchError(f"{url} cannot be fetched: {error}") from error
        if digest != expected:
            raise FetchError(f"{url} has the SHA-256 {digest}, not {expected}: it is not used")
        unpack(archive, folder)


def unpack(archive: IO[bytes], folder: Path) -> None:
    """Write what a zip archive holds below a folder; FetchError where it is not one, or too large."""
    try:
        with zipfile.ZipFile(archive) as files:
            if sum(file.file_size for file in files.infolist()) > MAX_BYTES:
                raise FetchError(f"an archive holds more than {MAX_BYTES >> 30} GiB")
            files.extractall(folder)
    except zipfile.BadZipFile as error:
        raise FetchError(f"an archive is not a zip file: {error}") from error


def _save(response: IO[bytes], archive: IO[bytes]) -> str:
    """Write a response to a file; its SHA-256."""
    digest, size = hashlib.sha256(), 0
    while chunk := response.read(_CHUNK_BYTES):
        size += len(chunk)
        if size > MAX_BYTES:
            raise FetchError(f"an archive is larger than {MAX_BYTES >> 30} GiB")
        digest.update(chunk)
        archive.write(chunk)
    return digest.hexdigest()


def main(arguments: Sequence[str]) -> int:
    """Fetch all; 1 with a line where one cannot be used."""
    folder = Path(arguments[0])
    try:
        for address in arguments[1:]:
            fetch(folder, address)
    except FetchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
