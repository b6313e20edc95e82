"""Kept uploads: files that no image needs any more are removed, so that what is deleted is deleted."""

import asyncio
from collections.abc import Callable, Iterable

from rpc.errors import Unavailable
from services.stores.images import ImageStore
from sources.errors import SourceError
from sources.uploads import Uploads

BATCH = 1000


class KeptUploads:
    """Removes the files whose bytes no live and no pending image of any collection has.

    A file is set aside, then the stores are asked, then it goes or comes back. Whoever put the same bytes meanwhile was
    either seen by the stores, or looks for the file after that and writes it again: see Pipeline.
    """

    def __init__(self, store: ImageStore, uploads: Uploads) -> None:
        self._store = store
        self._uploads = uploads

    async def collect_all(self) -> None:
        """Look at every file, also at those that a crash left set aside."""
        await self.collect(await asyncio.to_thread(lambda: set(self._uploads.kept())))

    async def collect(self, sha256s: Iterable[str]) -> None:
        """Remove those of these files that nobody needs."""
        kept = await asyncio.to_thread(lambda: [each for each in sha256s if self._uploads.has(each)])
        for start in range(0, len(kept), BATCH):
            await self._collect(kept[start : start + BATCH])

    async def _collect(self, kept: list[str]) -> None:
        used = await self._store.used_sha256s(kept)
        await self._each(self._uploads.restore, used)
        free = [sha256 for sha256 in kept if sha256 not in used]
        await self._each(self._uploads.set_aside, free)
        used = set(free)
        try:
            used = await self._store.used_sha256s(free)
        finally:
            await self._each(self._uploads.restore, used)
        await self._each(self._uploads.remove, [sha256 for sha256 in free if sha256 not in used])

    async def _each(self, step: Callable[[str], None], sha256s: Iterable[str]) -> None:
        def run() -> None:
            for sha256 in sha256s:
                step(sha256)

        try:
            await asyncio.to_thread(run)
        except SourceError as error:
            raise Unavailable(str(error)) from error
