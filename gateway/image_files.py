"""Stored images as files: read below the image roots or from the uploads, and scaled on a few threads."""

import asyncio
import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from domain.reasons import CHANGED_SINCE_INGEST, UNSUPPORTED_PICTURE
from encoders.errors import InvalidContent
from encoders.images.decode_memory import DecodeBudget
from encoders.images.decoding import open_image, probe
from gateway.settings import GatewaySettings
from rpc.errors import FailedPrecondition, InvalidArgument, NotFound, Overloaded, PermissionDenied
from sources.errors import MissingSourceError, OutsideRootsError, SourceError
from sources.roots import ImageRoots
from sources.uploads import Uploads

THUMBNAIL_SIZES_PX = (128, 256, 512, 1024)

_MAX_WAITING = 256
_WEBP_QUALITY = 82
_MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "HEIF": "image/heif",
    "AVIF": "image/avif",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """The bytes of an image, and the media type that they have whatever the file's name says."""

    data: bytes
    media_type: str


class ImageFiles:
    """Reads stored images by uri and hash. All disk access, decoding and scaling happens on its threads."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._roots = ImageRoots(settings.roots)
        self._uploads = Uploads(settings.uploads) if settings.uploads else None
        self._max_bytes = settings.max_picture_mib << 20
        self._memory = DecodeBudget(settings.thumbnail_mib << 20)
        self._timeout_s = settings.request_timeout_s
        self._pool = ThreadPoolExecutor(settings.thumbnail_threads, thread_name_prefix="images")
        self._waiting = 0

    def close(self) -> None:
        """Ends the threads after their current image."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def verify(self, uri: str, sha256: str) -> None:
        """Raises what `content` would raise, without the work of making a response."""
        await self._in_pool(lambda: self._read(uri, sha256))

    async def content(self, uri: str, sha256: str) -> ImageFile:
        """The image as it is stored; raises a ServiceError."""
        return await self._in_pool(lambda: _unchanged(self._read(uri, sha256)))

    async def thumbnail(self, uri: str, sha256: str, size_px: int) -> ImageFile:
        """The image as WebP, upright, its longer side at most `size_px`; raises a ServiceError."""
        # Read and scaled in one step, so that only as many files are in memory as there are threads.
        return await self._in_pool(lambda: self._scaled(self._read(uri, sha256), size_px))

    async def _in_pool(self, work: Callable[[], _T]) -> _T:
        if self._waiting >= _MAX_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            with _service_errors():
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def _read(self, uri: str, sha256: str) -> bytes:
        """The bytes from the uri, or, where they came with an ingest request, from the uploads.

        They are hashed for every response: a file of the same name, size and time may hold another image.
        """
        try:
            return _verified(self._roots.read(uri, self._max_bytes), sha256)
        except SourceError as error:
            if self._uploads is None:
                raise
            try:
                return _verified(self._uploads.read(sha256), sha256)
            except MissingSourceError:
                raise error from None

    def _scaled(self, data: bytes, size_px: int) -> ImageFile:
        opened, box_px = open_image(data), (size_px, size_px)
        with self._memory.reserve(opened.decode_bytes(enough_px=box_px), self._timeout_s):
            image = Image.fromarray(opened.decode(enough_px=box_px).pixels)
            image.thumbnail(box_px)
        encoded = io.BytesIO()
        image.save(encoded, "WEBP", quality=_WEBP_QUALITY)
        return ImageFile(encoded.getvalue(), "image/webp")


class _ChangedSourceError(SourceError):
    """The bytes are not those that were embedded."""


def _verified(data: bytes, sha256: str) -> bytes:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _ChangedSourceError
    return data


def _unchanged(data: bytes) -> ImageFile:
    return ImageFile(data, _MEDIA_TYPES[probe(data).format])


@contextmanager
def _service_errors() -> Iterator[None]:
    """Errors for those who view an image; the messages of `sources` are for those who ingest one."""
    try:
        yield
    except OutsideRootsError as error:
        raise PermissionDenied("the image lies outside the image roots, so it is not shown") from error
    except MissingSourceError as error:
        raise NotFound("the image's file is no longer where it was ingested from") from error
    except _ChangedSourceError as error:
        message = "the image's file was changed since its ingest, so it is not shown; ingest it again"
        raise FailedPrecondition(message, reason=CHANGED_SINCE_INGEST) from error
    except SourceError as error:
        raise FailedPrecondition(f"the image cannot be shown: {error}") from error
    except TimeoutError as error:
        raise _busy() from error
    except InvalidContent as error:
        raise InvalidArgument(str(error), reason=UNSUPPORTED_PICTURE) from error


def _busy() -> Overloaded:
    return Overloaded("too many images are being read at once; ask again a little later", retry_after_s=1)
