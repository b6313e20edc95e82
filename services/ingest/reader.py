"""Reader: an item's bytes, wherever they are, checked far enough to be worth encoding."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from domain.reasons import UNSUPPORTED_PICTURE
from encoders.errors import UnsupportedPicture
from encoders.image import probe
from rpc.errors import InvalidArgument, NotFound, PermissionDenied, Unavailable
from services.ingest.item import Item, Picture
from sources.errors import MissingSourceError, OutsideRootsError, OversizedSourceError, SourceError
from sources.roots import ImageRoots
from sources.uploads import Uploads

NOT_KEPT = (
    "found but not shown, because it lies outside the image roots and was not copied: "
    "start Fovea with `fovea up --root DIR`, or ingest with --copy"
)


class PictureReader:
    """Reads pictures from requests and from the image roots; blocking, for a thread."""

    def __init__(self, roots: ImageRoots, uploads: Uploads | None, max_bytes: int) -> None:
        self._roots = roots
        self._uploads = uploads
        self._max_bytes = max_bytes

    def uri_of(self, item: Item) -> str:
        """The item's identity: its uri, or the SHA-256 of its bytes."""
        return item.uri or _uri_of(hashlib.sha256(item.image or b"").hexdigest())

    def size_of(self, item: Item) -> int:
        """How many bytes `read` may need; raises ServiceError, also when they are too many."""
        size = self._file_size(item.uri) if item.image is None else len(item.image)
        if size > self._max_bytes:
            raise InvalidArgument(f"item.image: it is larger than {self._max_bytes >> 20} MiB")
        return size

    def read(self, item: Item, size: int) -> Picture:
        """Reads, hashes and probes one picture; a file that has more than `size` bytes by now is refused.

        Raises ServiceError.
        """
        data = self._file(item.uri, size) if item.image is None else item.image
        try:
            header = probe(data)
        except UnsupportedPicture as error:
            raise InvalidArgument(f"item.image: {error}", reason=UNSUPPORTED_PICTURE) from error
        sha256 = hashlib.sha256(data).hexdigest()
        uri = item.uri or _uri_of(sha256)
        has_no_home = item.image is not None and self._has_no_home(uri, data)
        is_kept = has_no_home and item.keep
        if is_kept:
            self._keep(sha256, data)
        warnings = (NOT_KEPT,) if has_no_home and not item.keep else ()
        return Picture(uri, data, sha256, header.width_px, header.height_px, item.metadata, is_kept, warnings)

    def _file_size(self, uri: str) -> int:
        with _source_errors():
            return self._roots.size(uri)

    def _file(self, uri: str, size: int) -> bytes:
        with _source_errors():
            try:
                return self._roots.read(uri, size)
            except OversizedSourceError as error:
                raise InvalidArgument("item.uri: the file grew before it was read; send it again") from error

    def _has_no_home(self, uri: str, data: bytes) -> bool:
        """Whether the bytes could not be read again from their uri, where uploads are kept at all."""
        return self._uploads is not None and not self._lies_in_roots(uri, data)

    def _keep(self, sha256: str, data: bytes) -> None:
        assert self._uploads is not None, "nothing is kept without a folder for it"
        try:
            self._uploads.keep(sha256, data)
        except SourceError as error:
            raise Unavailable(str(error)) from error

    def _lies_in_roots(self, uri: str, data: bytes) -> bool:
        """Whether the uri names a file with the same bytes."""
        try:
            return self._roots.size(uri) == len(data) and self._roots.read(uri, len(data)) == data
        except (SourceError, OSError):
            return False


def _uri_of(sha256: str) -> str:
    return f"sha256:{sha256}"


@contextmanager
def _source_errors() -> Iterator[None]:
    """What is wrong with the uri, as a ServiceError."""
    try:
        yield
    except OutsideRootsError as error:
        raise PermissionDenied(f"item.uri: {error}") from error
    except MissingSourceError as error:
        raise NotFound(f"item.uri: {error}") from error
    except SourceError as error:
        raise InvalidArgument(f"item.uri: {error}") from error
