"""Upload cleanup: removes files that no image needs any more, so that deleted images are deleted from disk too."""

import asyncio
from collections.abc import Callable, Iterable

from rpc.errors import Unavailable
from services.stores.images import ImageStore
from sources.errors import SourceError
from sources.uploads import Uploads

BATCH = 1000


class UploadCleanup:
    """Removes the files whose bytes belong to no live and no pending image of any collection.

    A file is set aside first, then the stores are asked, then it is removed or restored. A concurrent ingest of the
    same bytes is either seen by the stores, or finds the file missing after its write and writes it again, see
    IngestStream.
    """

    def __init__(self, store: ImageStore, uploads: Uploads) -> None:
        self._store = store
        self._uploads = uploads

    async def clean_all(self) -> None:
        """Check every file, including those that a crash left set aside."""
        await self.clean(await asyncio.to_thread(lambda: set(self._uploads.kept())))

    async def clean(self, sha256s: Iterable[str]) -> None:
        """Remove those of these files that are unused."""
        kept = await asyncio.to_thread(lambda: [each for each in sha256s if self._uploads.has(each)])
        for start in range(0, len(kept), BATCH):
            await self._clean(kept[start : start + BATCH])

    async def _clean(self, kept: list[str]) -> None:
        used = await self._store.used_sha256s(kept)
        await self._each(self._uploads.restore, used)
        unused = [sha256 for sha256 in kept if sha256 not in used]
        await self._each(self._uploads.set_aside, unused)
        # If the stores cannot be asked, all files are restored.
        used = set(unused)
        try:
            used = await self._store.used_sha256s(unused)
        finally:
            await self._each(self._uploads.restore, used)
        await self._each(self._uploads.remove, [sha256 for sha256 in unused if sha256 not in used])

    async def _each(self, step: Callable[[str], None], sha256s: Iterable[str]) -> None:
        def run() -> None:
            for sha256 in sha256s:
                step(sha256)

        try:
            await asyncio.to_thread(run)
        except SourceError as error:
            raise Unavailable(str(error)) from error
