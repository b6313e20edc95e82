"""Collections that outgrow their index get another one, which is built beside it while searches and writes go on."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

from rpc.errors import Aborted, NotFound, ServiceError
from services.ingest.reindexing import MoveRun
from services.stores.definitions import MAX_AGE_S
from services.stores.images import ImageStore
from services.stores.records import Collection, ImageRecord, StoredImage

_logger = logging.getLogger(__name__)


class IndexGrowth:
    """Looks at the size of every collection from time to time; `run` it in a task of its own."""

    def __init__(self, store: ImageStore, *, period_s: float) -> None:
        self._store = store
        self._period_s = period_s
        self._has_warned = False

    async def run(self) -> None:
        """Work until cancelled; what fails is tried again the next time."""
        while True:
            await asyncio.sleep(self._period_s)
            try:
                await self.look()
            except ServiceError as error:
                _logger.warning("the sizes of collections cannot be read", extra={"cause": error.message})
            except Exception:
                _logger.exception("looking at the sizes of collections failed")

    async def look(self) -> None:
        """Build an index for each collection that needs another one, and say when a Milvus server is due."""
        counts: list[int] = []
        for collection in await self._store.collections():
            try:
                counts.append(await self._fit(collection))
            except (Aborted, NotFound):
                pass  # a move goes on, here or in another process; or it was dropped meanwhile
            except ServiceError as error:
                _logger.warning("%s: no other index was built", collection.name, extra={"cause": error.message})
        due = self._store.sizes.server_due(sum(counts))
        if due and not self._has_warned:
            _logger.warning(due)
        self._has_warned = bool(due)

    async def _fit(self, collection: Collection) -> int:
        """Build the index that a collection needs; returns how many rows it has."""
        name = collection.name
        count = await self._store.sizes.row_count(name)
        if index := await self._store.sizes.index_needed(collection, count):
            _logger.info("%s: its %d embeddings outgrew %s: building %s", name, count, collection.index, index)
            await build_index(self._store, collection, index)
            _logger.info("%s: searches use %s now", name, index)
        await self._store.serving.drop_copies(name)
        return count


async def build_index(store: ImageStore, collection: Collection, index: str) -> None:
    """Serve a collection with another index, once all its images are in it; Aborted while another move goes on."""
    async with (
        store.moves.open(
            collection.name,
            space=collection.space,
            encoder=collection.encoder,
            dimension=collection.dimension,
            index=index,
        ) as move,
        aclosing(IndexRun(move).run()) as progress,
    ):
        async for _ in progress:
            pass
    # Searches that know the old definition, for MAX_AGE_S at most, are answered still.
    await asyncio.sleep(2 * MAX_AGE_S)


class IndexRun(MoveRun):
    """Copies the images of one move as they are: nothing but their index is another one."""

    async def _images(self, records: Sequence[ImageRecord]) -> list[StoredImage]:
        return list((await self._move.stored(records)).values())
