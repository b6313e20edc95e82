"""Pruning: which stored images no longer have a file in their folder, and which of those have moved."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Container, Iterable
from pathlib import PurePath
from typing import Any, Generic, Protocol, TypeVar

from sources.errors import SourceError
from sources.scan import FolderScan, below


class ListedImage(Protocol):
    """One image in a collection's listing."""

    @property
    def uri(self) -> str:
        """Its path, if it came from a folder."""

    @property
    def sha256(self) -> str:
        """Of its bytes, as hex digits."""

    @property
    def metadata(self) -> Any:
        """False if there is none."""


_Image = TypeVar("_Image", bound=ListedImage)


class Pruning(Generic[_Image]):
    """Compares the images of a finished scan, in `files`, with a collection.

    An unreadable file is never a reason to delete: an image is removed when its path no longer exists, or when the
    scan excludes its name. Only plain absolute paths below the folder are considered, since a scan yields no others.
    """

    def __init__(self, scan: FolderScan, files: Container[str], *, empty_ok: bool = False) -> None:
        """Raises SourceError for a folder without images, as an unmounted disk is, unless `empty_ok`."""
        if not scan.found and not empty_ok:
            raise SourceError(
                f"nothing is pruned, because {scan.folder} holds no image, and an unmounted disk looks the same"
            )
        self._scan = scan
        self._files = files
        self.removed: dict[str, _Image] = {}
        self.moved: set[str] = set()
        self.metadata_from: dict[str, _Image] = {}

    async def find(self, images: Callable[[], AsyncIterator[_Image]], *, described: Container[str] = ()) -> None:
        """Fill `removed`, by uri; `moved`, those of them whose bytes are still in the folder; and `metadata_from`.

        `metadata_from` maps the uri of an image without metadata to the removed image that moved there. `images` lists
        the collection, a second time if something may have moved. The caller gives metadata to the `described` ones.
        """
        unseen = [image async for image in images() if self._is_candidate(image.uri)]
        self.removed = await asyncio.to_thread(
            lambda: {each.uri: each for each in unseen if self._is_removed(each.uri)}
        )
        if not self.removed:
            return
        by_content: defaultdict[str, list[_Image]] = defaultdict(list)
        for removed in self.removed.values():
            by_content[removed.sha256].append(removed)
        async for image in images():
            if image.sha256 in by_content and image.uri in self._files:
                old = _best_match(by_content[image.sha256], image.uri)
                self.moved.add(old.uri)
                if old.metadata and not image.metadata and image.uri not in described:
                    self.metadata_from[image.uri] = old

    def deletable(self, *, failed: Iterable[str] = ()) -> list[str]:
        """The removed uris, checked on disk once more, except those whose metadata could not be copied to `failed`.

        Raises SourceError if the folder is not the one that was scanned.
        """
        if not self._scan.is_same_folder:
            raise SourceError(f"nothing is pruned, because {self._scan.folder} was replaced or went away meanwhile")
        kept = {self.metadata_from[uri].uri for uri in failed}
        return [uri for uri in self.removed if uri not in kept and self._is_removed(uri)]

    def _is_candidate(self, uri: str) -> bool:
        """Whether the scan could have yielded this uri, and did not."""
        return uri not in self._files and uri.startswith(below(self._scan.folder)) and os.path.normpath(uri) == uri

    def _is_removed(self, uri: str) -> bool:
        try:
            os.lstat(uri)
            return self._scan.excludes(uri)
        except (FileNotFoundError, NotADirectoryError):
            return not any(uri.startswith(below(folder)) for folder in self._scan.unlisted)
        except (OSError, ValueError, SourceError):
            return False


def _best_match(olds: list[_Image], uri: str) -> _Image:
    """The removed image that most likely moved to `uri`; it is taken off the list, unless it is the last.

    One with metadata comes first: the bytes are equal, and only the metadata would be lost.
    """
    name = PurePath(uri).name
    best = min(olds, key=lambda old: (not old.metadata, PurePath(old.uri).name != name, old.uri))
    if len(olds) > 1:
        olds.remove(best)
    return best
