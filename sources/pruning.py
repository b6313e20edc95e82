"""Pruning: which stored images of a folder are gone from it, and which of those live on under another name."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Container, Iterable
from pathlib import PurePath
from typing import Any, Generic, Protocol, TypeVar

from sources.errors import SourceError
from sources.scan import FolderScan, below


class StoredImage(Protocol):
    """What a collection tells about one image."""

    @property
    def uri(self) -> str:
        """Its path, where it came from a folder."""

    @property
    def sha256(self) -> str:
        """Of its bytes, as hex digits."""

    @property
    def metadata(self) -> Any:
        """False where there is none."""


_Image = TypeVar("_Image", bound=StoredImage)


class Pruning(Generic[_Image]):
    """Compares what a finished scan gave with what is stored; `files` holds it.

    Nothing is gone only because it cannot be read: an image is gone when its path names nothing any more, or when the
    scan passes over its name by rule. Only plain absolute paths below the folder are judged, since a scan gives no
    other uris.
    """

    def __init__(self, scan: FolderScan, files: Container[str], *, empty_ok: bool = False) -> None:
        """Raises SourceError where the folder held no image, as that of an unmounted disk, unless `empty_ok`."""
        if not scan.found and not empty_ok:
            raise SourceError(
                f"nothing is pruned, because {scan.folder} holds no image, and an unmounted disk looks the same"
            )
        self._scan = scan
        self._files = files
        self.gone: dict[str, _Image] = {}
        self.moved: set[str] = set()
        self.heirs: dict[str, _Image] = {}

    async def find(self, images: Callable[[], AsyncIterator[_Image]], *, described: Container[str] = ()) -> None:
        """Fills `gone`, by uri; `moved`, those of them whose bytes live on in the folder; and `heirs`.

        Heirs are images without metadata, by uri, each with the image that moved there and whose metadata it takes.
        `images` lists the collection; it is called a second time where something may have moved. The `described` are
        given metadata by the caller and inherit none.
        """
        suspects = [image async for image in images() if self._is_suspect(image.uri)]
        self.gone = await asyncio.to_thread(lambda: {each.uri: each for each in suspects if self._is_gone(each.uri)})
        if not self.gone:
            return
        by_content = _by_content(self.gone.values())
        async for image in images():
            if image.sha256 in by_content and image.uri in self._files:
                old = _taken(by_content[image.sha256], image.uri)
                self.moved.add(old.uri)
                if old.metadata and not image.metadata and image.uri not in described:
                    self.heirs[image.uri] = old

    def deletable(self, *, failed: Iterable[str] = ()) -> list[str]:
        """The uris that are still gone when the disk is asked again, without those that a `failed` heir was to follow.

        Raises SourceError where the folder is not the one that was scanned any more.
        """
        if not self._scan.is_same_folder:
            raise SourceError(f"nothing is pruned, because {self._scan.folder} was replaced or went away meanwhile")
        kept = {self.heirs[uri].uri for uri in failed}
        return [uri for uri in self.gone if uri not in kept and self._is_gone(uri)]

    def _is_suspect(self, uri: str) -> bool:
        """Whether the uri is one that the scan could have given, and did not."""
        return uri not in self._files and uri.startswith(below(self._scan.folder)) and os.path.normpath(uri) == uri

    def _is_gone(self, uri: str) -> bool:
        try:
            os.lstat(uri)
        except (FileNotFoundError, NotADirectoryError):
            return not any(uri.startswith(below(folder)) for folder in self._scan.unlisted)
        except (OSError, ValueError):
            return False
        try:
            return self._scan.excludes(uri)
        except SourceError:
            return False


def _by_content(images: Iterable[_Image]) -> dict[str, list[_Image]]:
    """Images by their sha256."""
    found: dict[str, list[_Image]] = defaultdict(list)
    for image in images:
        found[image.sha256].append(image)
    return found


def _taken(olds: list[_Image], uri: str) -> _Image:
    """The one that most likely moved to `uri`; each is taken once, but for the last.

    One with metadata comes first: the bytes are the same, and what is said of them would be lost.
    """
    name = PurePath(uri).name
    best = min(olds, key=lambda old: (not old.metadata, PurePath(old.uri).name != name, old.uri))
    if len(olds) > 1:
        olds.remove(best)
    return best
