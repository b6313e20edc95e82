"""Backups: all images of a collection as they are stored, page by page, and the same written into an empty collection.

Rows are never overwritten, so that each image is of one version, whoever writes meanwhile. What was acknowledged before
the first page was read and did not change since is in the pages.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

from rpc.deadline import Deadline
from rpc.errors import Aborted, NotFound
from services.stores.definitions import Definitions, Superseded
from services.stores.filters.expression import Engine
from services.stores.milvus.rows import rows_of
from services.stores.milvus.store import RowStore
from services.stores.records import Collection, Counts, StoredImage
from services.stores.recovery import Recovery
from services.stores.redis.catalog import RedisCatalog

PAGE_SIZE = 256
STEP_TIMEOUT_S = 60.0
TRIES = 5
TRY_AGAIN_S = 0.2  # an update between the two questions leaves the rows of the first answer deleted

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class BackupPage:
    """Some images, and the ids of those whose rows are missing: damage, which a scrub names and repairs."""

    images: tuple[StoredImage, ...]
    damaged: tuple[str, ...]


class Backups:
    """Reads and writes whole collections."""

    def __init__(self, rows: RowStore, catalog: RedisCatalog, definitions: Definitions, recovery: Recovery) -> None:
        self._rows = rows
        self._catalog = catalog
        self._definitions = definitions
        self._recovery = recovery

    async def pages(self, name: str) -> AsyncIterator[BackupPage]:
        """All images, by image_id; Aborted where the collection is moved or deleted meanwhile."""
        collection, after = await self._definitions.fresh(name), ""
        while ids := await self._ask(collection, self._catalog.ids, after=after, limit=PAGE_SIZE, deadline=_soon()):
            yield await self._page(collection, ids)
            after = ids[-1]

    async def write(self, name: str, images: Sequence[StoredImage]) -> None:
        """Write images under the versions that they have; writing the same again changes nothing.

        They are found after `finish`.
        """
        collection = await self._definitions.get(name)
        rows = [row for image in images for row in rows_of(image.record, image)]
        await self._rows.upsert(collection.store_name, rows, _soon())

    async def finish(self, name: str) -> Counts:
        """Make the records of what was written; how much can be found then."""
        collection = await self._definitions.fresh(name)
        if self._rows.engine is Engine.SERVER:
            await self._rows.flush(collection.store_name, _soon())
        await self._catalog.drop(collection.store_name, _soon())
        await self._recovery.rebuild(collection, is_lost=False)
        return await self._ask(collection, self._catalog.counts, _soon())

    async def _page(self, collection: Collection, image_ids: Sequence[str]) -> BackupPage:
        found: dict[str, StoredImage] = {}
        left = list(image_ids)
        for _ in range(TRIES):
            records = await self._ask(collection, self._catalog.records, left, _soon())
            found |= await self._rows.images(collection.store_name, records.values(), _soon())
            left = [image_id for image_id in records if image_id not in found]
            if not left:
                break
            await asyncio.sleep(TRY_AGAIN_S)
        return BackupPage(tuple(found.values()), tuple(left))

    async def _ask(
        self,
        collection: Collection,
        call: Callable[Concatenate[Collection, _P], Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        try:
            return await self._definitions.on(collection, call, *args, **kwargs)
        except (Superseded, NotFound) as error:
            raise Aborted(f"the collection {collection.name} was moved or deleted meanwhile; begin again") from error


def _soon() -> Deadline:
    return Deadline.after(STEP_TIMEOUT_S)
