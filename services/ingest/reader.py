"""Reader: an item's bytes, wherever they are, checked far enough to be worth encoding."""

import hashlib

from encoders.errors import UnsupportedPicture
from encoders.image import probe
from rpc.errors import InvalidArgument, NotFound, PermissionDenied, ServiceError, Unavailable
from services.ingest.item import Item, Picture
from sources.errors import MissingSourceError, OutsideRootsError, SourceError
from sources.roots import ImageRoots
from sources.uploads import Uploads

UNSUPPORTED_PICTURE = "UNSUPPORTED_PICTURE"
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

    def read(self, item: Item) -> Picture:
        """Reads, hashes and probes one picture; raises ServiceError."""
        try:
            data = self._roots.read(item.uri, self._max_bytes) if item.image is None else item.image
        except SourceError as error:
            raise _explained(error) from error
        if len(data) > self._max_bytes:
            raise InvalidArgument(f"item.image: it is larger than {self._max_bytes >> 20} MiB")
        try:
            header = probe(data)
        except UnsupportedPicture as error:
            raise InvalidArgument(f"item.image: {error}", reason=UNSUPPORTED_PICTURE) from error
        sha256 = hashlib.sha256(data).hexdigest()
        uri = item.uri or f"sha256:{sha256}"
        warnings = () if item.image is None else self._keep(uri, sha256, data, wanted=item.keep)
        return Picture(uri, data, sha256, header.width_px, header.height_px, item.metadata, warnings)

    def _keep(self, uri: str, sha256: str, data: bytes, *, wanted: bool) -> tuple[str, ...]:
        """Keeps bytes that could not be read again from their uri, and warns where they were not to be kept."""
        if self._uploads is None or self._lies_in_roots(uri, len(data)):
            return ()
        if not wanted:
            return (NOT_KEPT,)
        try:
            self._uploads.keep(sha256, data)
        except SourceError as error:
            raise Unavailable(str(error)) from error
        return ()

    def _lies_in_roots(self, uri: str, size: int) -> bool:
        """Whether the uri names a file with, by its size, the same bytes."""
        try:
            return self._roots.resolve(uri).stat().st_size == size
        except (SourceError, OSError):
            return False


def _explained(error: SourceError) -> ServiceError:
    message = f"item.uri: {error}"
    if isinstance(error, OutsideRootsError):
        return PermissionDenied(message)
    return NotFound(message) if isinstance(error, MissingSourceError) else InvalidArgument(message)
