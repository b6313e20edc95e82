"""What makes the two stores agree again: the sweep after a crash, and the rebuild of Redis from Milvus."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from rpc.deadline import Deadline
from rpc.errors import ServiceError, Unavailable
from rpc.tasks import end, gather
from services.stores.milvus.rows import RECORD_FIELDS, Row, RowKey, record_of, row_keys
from services.stores.milvus.scanning import MAX_ROWS, scan
from services.stores.milvus.store import RowStore
from services.stores.records import Collection, Version
from services.stores.redis.catalog import RedisCatalog
from services.stores.redis.entries import Tombstones
from services.stores.redis.rebuilding import RebuiltImage
from services.stores.redis.shards import SHARDS, CatalogLost

REBUILDS_AT_ONCE = 4
REBUILD_TIMEOUT_S = 600.0
PURGE_BATCH = 256

_logger = logging.getLogger(__name__)


class Recovery:
    """Finishes what writers left unfinished."""

    def __init__(self, rows: RowStore, catalog: RedisCatalog) -> None:
        self._rows = rows
        self._catalog = catalog
        self._rebuilding: dict[str, asyncio.Task[None]] = {}

    async def sweep(self, collection: Collection, deadline: Deadline) -> None:
        """Commit or abort the versions whose lease expired, and purge the tombstones."""
        await self.end_expired(collection, deadline)
        await self.purge(collection, await self._catalog.purgeable(collection, deadline), deadline)

    async def end_expired(self, collection: Collection, deadline: Deadline) -> None:
        """Commit the versions whose lease expired and whose rows are all there, and abort the others."""
        if expired := await self._catalog.expired_leases(collection, deadline):
            complete = await self._complete(collection, expired, deadline)
            # A complete version lives although its caller was never answered: a retry would write the same.
            await self._catalog.commit(collection, complete, deadline)
            incomplete = [version for version in expired if version not in complete]
            await self._catalog.abort(collection, incomplete, deadline)
            _logger.warning("%s: of %d versions left behind, %d live now", collection.name, len(expired), len(complete))

    async def purge(self, collection: Collection, tombstones: Sequence[Tombstones], deadline: Deadline) -> None:
        """Delete the rows that tombstones name, then the tombstones."""
        deleted_to = {each.image_id: each.deleted_to for each in tombstones if each.deleted_to}
        unfinished = await self._delete_images(collection, deleted_to, deadline)
        keys = [key for each in tombstones for version in each.versions for key in row_keys(*version)]
        if keys:
            await self._rows.delete(collection.store_name, keys, deadline)
        # Rows first: a tombstone without rows costs one more deletion, rows without a tombstone would stay for good.
        finished = [each for each in tombstones if each.image_id not in unfinished]
        await self._catalog.remove_tombstones(collection, finished, deadline)

    async def purge_images(self, collection: Collection, image_ids: Sequence[str], deadline: Deadline) -> None:
        """Delete the rows that the tombstones of these images name, as far as they can be deleted now."""
        await self.purge(collection, await self._catalog.purgeable(collection, deadline, image_ids), deadline)

    async def _delete_images(
        self, collection: Collection, deleted_to: Mapping[str, int], deadline: Deadline
    ) -> set[str]:
        """Delete every row of images up to the version to which each is deleted; the images that may have more."""
        unfinished: set[str] = set()
        image_ids = list(deleted_to)
        for start in range(0, len(image_ids), PURGE_BATCH):
            batch = image_ids[start : start + PURGE_BATCH]
            found = await self._rows.keys_of_images(collection.store_name, batch, deadline)
            # A newer version, which was put after the deletion, stays.
            keys = [key for key in found if key.version <= deleted_to[key.image_id]]
            await self._rows.delete(collection.store_name, list(map(str, keys)), deadline)
            if len(found) >= MAX_ROWS:
                unfinished |= {key.image_id for key in keys}
        return unfinished

    async def start(self, collection: Collection, deadline: Deadline) -> None:
        """Open an empty collection for writes; Unavailable where it is dropped, or Redis lost, meanwhile."""

        async def open_shard(shard: str) -> None:
            rebuild = self._catalog.rebuild(collection, shard, deadline)
            if await rebuild.begin():
                await rebuild.end()

        try:
            await gather(*map(open_shard, SHARDS))
        except CatalogLost as error:
            raise Unavailable(f"Redis lost {collection.name} while it was being created; try again") from error

    async def close(self) -> None:
        """End the rebuilds that run; another process, or a later start, does them again."""
        for task in list(self._rebuilding.values()):
            await end(task)

    async def rebuild(self, collection: Collection, *, is_lost: bool = True) -> None:
        """Fill Redis from Milvus, once for all callers: the highest complete version of each image lives.

        `is_lost` says that it was not meant to be forgotten, which is logged.
        """
        # A caller that leaves does not end the rebuild that others wait for.
        await asyncio.shield(self.rebuild_soon(collection, is_lost=is_lost))

    def rebuild_soon(self, collection: Collection, *, is_lost: bool = True) -> "asyncio.Task[None]":
        """The rebuild that runs, or a new one."""
        running = self._rebuilding.get(collection.generation)
        if running is None:
            rebuilding = self._rebuild(collection, is_lost=is_lost)
            running = asyncio.create_task(rebuilding, name=f"rebuild {collection.name}")
            self._rebuilding[collection.generation] = running
            running.add_done_callback(lambda task: self._rebuilt(collection, task))
        return running

    def _rebuilt(self, collection: Collection, task: "asyncio.Task[None]") -> None:
        del self._rebuilding[collection.generation]
        if not task.cancelled():
            task.exception()  # asyncio logs an error that is never read; it is raised to those who wait

    async def _rebuild(self, collection: Collection, *, is_lost: bool) -> None:
        deadline = Deadline.after(REBUILD_TIMEOUT_S)
        running = asyncio.Semaphore(REBUILDS_AT_ONCE)

        async def rebuild_shard(shard: str) -> bool:
            async with running:
                return await self._rebuild_shard(collection, shard, deadline)

        rebuilt = sum(await gather(*map(rebuild_shard, SHARDS)))
        if rebuilt and is_lost:
            _logger.warning(
                "%s: Redis had lost %d of its %d shards, rebuilt from Milvus", collection.name, rebuilt, len(SHARDS)
            )

    async def _rebuild_shard(self, collection: Collection, shard: str, deadline: Deadline) -> bool:
        """Whether the shard needed a rebuild."""
        rebuild = self._catalog.rebuild(collection, shard, deadline)
        try:
            if not await rebuild.begin():
                return False
            # Strong: every row that was acknowledged is read, whichever process wrote it a moment ago.
            async for rows in scan(
                self._rows.query,
                collection,
                prefix=shard,
                fields=RECORD_FIELDS,
                deadline=deadline,
                consistency="Strong",
            ):
                await rebuild.add(_rebuilt_images(rows))
            await rebuild.end()
        except BaseException:
            with contextlib.suppress(ServiceError):
                await rebuild.release()
            raise
        return True

    async def _complete(self, collection: Collection, versions: Iterable[Version], deadline: Deadline) -> list[Version]:
        """The versions all of whose rows are in Milvus."""
        keys = {version: row_keys(*version) for version in versions}
        every_key = [key for each in keys.values() for key in each]
        rows = await self._rows.read(collection.store_name, every_key, ["key"], deadline, consistency="Strong")
        found = {row["key"] for row in rows}
        return [version for version, each in keys.items() if found.issuperset(each)]


def _rebuilt_images(rows: Iterable[Row]) -> list[RebuiltImage]:
    """What all rows of some images say about each."""
    images: dict[str, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        key = RowKey.parse(row["key"])
        images[key.image_id][key.version].append(row)
    return [_rebuilt_image(image_id, versions) for image_id, versions in images.items()]


def _rebuilt_image(image_id: str, versions: Mapping[int, list[Row]]) -> RebuiltImage:
    """The highest complete version lives unless the image was deleted since."""
    region_counts = {version: rows[0]["region_count"] for version, rows in versions.items()}
    deleted_to = max((version for version, count in region_counts.items() if count == 0), default=0)
    # A version without some of its rows was never acknowledged, or is being deleted.
    complete = [
        version for version, rows in versions.items() if len(rows) == region_counts[version] and version > deleted_to
    ]
    live = max(complete, default=None)
    obsolete = tuple(Version(image_id, each, count) for each, count in region_counts.items() if count and each != live)
    return RebuiltImage(image_id, None if live is None else record_of(versions[live][0]), obsolete, deleted_to)
