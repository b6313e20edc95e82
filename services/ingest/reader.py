"""Reader: an item's bytes, from its message or from its file, checked before they are encoded."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from domain.exif import NO_EXIF, Exif
from domain.reasons import UNSUPPORTED_PICTURE
from encoders.errors import UnsupportedImage
from encoders.images.decoding import OpenedImage, open_image
from rpc.errors import InvalidArgument, NotFound, PermissionDenied, Unavailable
from services.ingest.item import Item, LoadedImage
from services.stores.diagnosis import Damage
from sources.errors import MissingSourceError, OutsideRootsError, OversizedSourceError, SourceError
from sources.roots import ImageRoots
from sources.uploads import Uploads

NOT_KEPT = (
    "found but not shown, because it lies outside the image roots and was not copied: "
    "start Fovea with `fovea up --root DIR`, or ingest with --copy"
)


class ItemReader:
    """Reads images from messages and from the image roots; blocking, for a thread. All methods raise ServiceError."""

    def __init__(
        self,
        roots: ImageRoots,
        uploads: Uploads | None,
        max_bytes: int,
        *,
        keeps_exif: bool = True,
        keeps_location: bool = False,
    ) -> None:
        self._roots = roots
        self._uploads = uploads
        self._max_bytes = max_bytes
        self._keeps_exif = keeps_exif
        self._keeps_location = keeps_location

    def uri_of(self, item: Item) -> str:
        """The item's identity: its uri, or the SHA-256 of its bytes."""
        return item.uri or _uri_of(hashlib.sha256(item.image or b"").hexdigest())

    def size_of(self, item: Item) -> int:
        """How many bytes `read` needs; InvalidArgument if they are too many."""
        with source_errors():
            size = self._roots.size(item.uri) if item.image is None else len(item.image)
        if size > self._max_bytes:
            raise InvalidArgument(f"item.image: it is larger than {self._max_bytes >> 20} MiB")
        return size

    def read(self, item: Item, size: int) -> LoadedImage:
        """Read, hash and probe one image; a file that has grown beyond `size` bytes is refused."""
        with source_errors():
            data = self._roots.read(item.uri, size) if item.image is None else item.image
            opened = open_image(data)
        sha256 = hashlib.sha256(data).hexdigest()
        uri = item.uri or _uri_of(sha256)
        needs_copy = item.image is not None and self._uploads is not None and not self._is_in_roots(uri, data)
        image = LoadedImage(
            uri,
            data,
            sha256,
            opened.header.width_px,
            opened.header.height_px,
            item.metadata,
            is_upload=needs_copy and item.keep,
            warnings=(NOT_KEPT,) if needs_copy and not item.keep else (),
            exif=self._kept(opened),
        )
        if image.is_upload:
            self.keep(image)
        return image

    def _kept(self, opened: OpenedImage) -> Exif:
        """What is to be kept of the image's EXIF."""
        if not self._keeps_exif:
            return NO_EXIF
        exif = opened.exif()
        return exif if self._keeps_location else replace(exif, latitude=None, longitude=None)

    def stored_size(self, uri: str, sha256: str) -> int:
        """How many bytes `reread` needs, 0 where it fails."""
        with suppress(SourceError):
            return self._roots.size(uri)
        with suppress(SourceError):
            return self._uploads.size(sha256) if self._uploads is not None else 0
        return 0

    def reread(self, uri: str, sha256: str) -> bytes:
        """The bytes that an image was ingested with, from its uri or from the uploads; NotFound says why there are none."""
        try:
            data = self._roots.read(uri, self._max_bytes)
            fault = SourceError("the file changed since it was ingested")
        except SourceError as error:
            data, fault = b"", error
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        try:
            if self._uploads is not None and self._uploads.has(sha256):
                return self._uploads.read(sha256)
        except SourceError as error:
            fault = error
        raise NotFound(str(fault)) from fault

    def file_damage(self, uri: str, sha256: str) -> Damage | None:
        """What is wrong with the file of a stored image; a file below the roots is not read.

        A path outside the roots is not expected to have one: what is sent from there is kept on request only.
        """
        try:
            if self._uploads is not None and self._uploads.has(sha256):
                kept = hashlib.sha256(self._uploads.read(sha256)).hexdigest()
                return None if kept == sha256 else Damage.WRONG_FILE
            self._roots.size(uri)
        except SourceError as error:
            is_path = uri.startswith(("/", "file://"))
            is_expected = not isinstance(error, OutsideRootsError) if is_path else self._uploads is not None
            return Damage.MISSING_FILE if is_expected else None
        return None

    def remove_kept(self, sha256: str) -> None:
        """Remove a kept file; raises Unavailable."""
        assert self._uploads is not None, "only a reader with uploads has kept files"
        try:
            self._uploads.set_aside(sha256)
            self._uploads.remove(sha256)
        except SourceError as error:
            raise Unavailable(str(error)) from error

    def keep(self, image: LoadedImage) -> None:
        """Write an upload's bytes unless they are stored."""
        assert self._uploads is not None, "only a reader with uploads makes uploads"
        try:
            self._uploads.keep(image.sha256, image.data)
        except SourceError as error:
            raise Unavailable(str(error)) from error

    def _is_in_roots(self, uri: str, data: bytes) -> bool:
        """Whether the uri names a file with these bytes, so that they can be read again."""
        try:
            return self._roots.size(uri) == len(data) and self._roots.read(uri, len(data)) == data
        except (SourceError, OSError):
            return False


def _uri_of(sha256: str) -> str:
    return f"sha256:{sha256}"


@contextmanager
def source_errors() -> Iterator[None]:
    """Errors of the image and its file as ServiceErrors that name the item's field."""
    try:
        yield
    except OutsideRootsError as error:
        raise PermissionDenied(f"item.uri: {error}") from error
    except MissingSourceError as error:
        raise NotFound(f"item.uri: {error}") from error
    except OversizedSourceError as error:
        raise InvalidArgument("item.uri: the file grew before it was read; send it again") from error
    except SourceError as error:
        raise InvalidArgument(f"item.uri: {error}") from error
    except UnsupportedImage as error:
        raise InvalidArgument(f"item.image: {error}", reason=UNSUPPORTED_PICTURE) from error
