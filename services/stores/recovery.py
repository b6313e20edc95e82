"""What brings the two stores together again: the sweep after a crash, and the rebuild of Redis from Milvus."""

import asyncio
import contextlib
import logging
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from rpc.deadline import Deadline
from rpc.errors import ServiceError, Unavailable
from rpc.tasks import end, gather
from services.stores.catalog import Rebuilt, RedisCatalog
from services.stores.milvus import MAX_ROWS, MilvusIndex
from services.stores.records import Collection
from services.stores.rows import RECORD_FIELDS, RowKey, record_of
from services.stores.shards import SHARDS, CatalogLost
from services.stores.tombstones import Version, deleted_to, versions_in

REBUILD_LEASE_S = 30.0
REBUILD_WAIT_S = 0.1
REBUILDS_AT_ONCE = 4
RELEASE_TIMEOUT_S = 1.0
REBUILD_TIMEOUT_S = 600.0
PURGE_BATCH = 256

_logger = logging.getLogger(__name__)


class Recovery:
    """Finishes what writers left unfinished."""

    def __init__(self, index: MilvusIndex, catalog: RedisCatalog) -> None:
        self._index = index
        self._catalog = catalog
        self._rebuilding: dict[str, asyncio.Task[None]] = {}

    async def sweep(self, collection: Collection, deadline: Deadline) -> None:
        """Versions whose writer is gone live when all their rows are there, and die otherwise; dead rows are deleted."""
        overdue = await self._catalog.overdue(collection, deadline)
        if overdue:
            complete = await self._complete(collection, overdue, deadline)
            await self._catalog.commit(collection, complete, deadline)
            incomplete = [version for version in overdue if version not in complete]
            await self._catalog.abandon(collection, incomplete, deadline)
            _logger.warning("%s: of %d versions left behind, %d live now", collection.name, len(overdue), len(complete))
        await self.bury(collection, await self._catalog.due(collection, deadline), deadline)

    async def bury(self, collection: Collection, due: Mapping[str, str], deadline: Deadline) -> None:
        """Delete the rows that tombstones name, then forget the tombstones."""
        deletions = {image_id: deleted_to(image_id, tombstones) for image_id, tombstones in due.items()}
        late = await self._purge(collection, {each: to for each, to in deletions.items() if to}, deadline)
        keys = [
            key for each, tombstones in due.items() for version in versions_in(each, tombstones) for key in version.keys
        ]
        if keys:
            await self._index.delete(collection.name, keys, deadline)
        clean = {image_id: tombstones for image_id, tombstones in due.items() if tombstones and image_id not in late}
        await self._catalog.bury(collection, clean, deadline)

    async def _purge(self, collection: Collection, deletions: Mapping[str, int], deadline: Deadline) -> set[str]:
        """Delete every row of images up to the version to which each is deleted; the images that may have more."""
        late: set[str] = set()
        ids = list(deletions)
        for start in range(0, len(ids), PURGE_BATCH):
            batch = ids[start : start + PURGE_BATCH]
            rows = await self._index.rows_of_images(collection.name, batch, deadline)
            keys = [key for key in (RowKey.parse(row["key"]) for row in rows) if key.version <= deletions[key.image_id]]
            await self._index.delete(collection.name, [str(key) for key in keys], deadline)
            if len(rows) >= MAX_ROWS:
                late |= {key.image_id for key in keys}
        return late

    async def start(self, collection: Collection, deadline: Deadline) -> None:
        """Open an empty collection for writes; Unavailable where it is dropped, or Redis lost, meanwhile."""
        token = secrets.token_hex(8)

        async def open_shard(shard: str) -> None:
            if await self._begin(collection, shard, token, deadline):
                await self._catalog.rebuild_end(collection, shard, token=token, deadline=deadline)

        try:
            await gather(*(open_shard(shard) for shard in SHARDS))
        except CatalogLost as error:
            raise Unavailable(f"Redis lost {collection.name} while it was being created; try again") from error

    async def close(self) -> None:
        """End the rebuilds that run; another process, or a later start, does them again."""
        for task in list(self._rebuilding.values()):
            await end(task)

    def is_rebuilding(self, collection: Collection) -> bool:
        """Whether this process fills Redis from Milvus right now."""
        return collection.generation in self._rebuilding

    async def rebuild(self, collection: Collection) -> None:
        """Fill Redis from Milvus, once for all who ask: the highest complete version of each image lives."""
        await asyncio.shield(self.rebuild_soon(collection))

    def rebuild_soon(self, collection: Collection) -> "asyncio.Task[None]":
        """The rebuild that runs, or a new one."""
        running = self._rebuilding.get(collection.generation)
        if running is None:
            running = asyncio.create_task(self._rebuild(collection), name=f"rebuild {collection.name}")
            self._rebuilding[collection.generation] = running
            running.add_done_callback(lambda task: self._rebuilt(collection, task))
        return running

    def _rebuilt(self, collection: Collection, task: "asyncio.Task[None]") -> None:
        del self._rebuilding[collection.generation]
        if not task.cancelled():
            task.exception()  # those who wait for it are told

    async def _rebuild(self, collection: Collection) -> None:
        deadline = Deadline.after(REBUILD_TIMEOUT_S)
        room = asyncio.Semaphore(REBUILDS_AT_ONCE)

        async def rebuild_shard(shard: str) -> bool:
            async with room:
                return await self._rebuild_shard(collection, shard, deadline)

        rebuilt = sum(await gather(*(rebuild_shard(shard) for shard in SHARDS)))
        if rebuilt:
            _logger.warning(
                "%s: Redis had lost %d of its %d shards, rebuilt from Milvus", collection.name, rebuilt, len(SHARDS)
            )

    async def _rebuild_shard(self, collection: Collection, shard: str, deadline: Deadline) -> bool:
        token = secrets.token_hex(8)
        try:
            is_ours = await self._begin(collection, shard, token, deadline)
            if is_ours:
                await self._fill(collection, shard, token, deadline)
        except BaseException:
            with contextlib.suppress(ServiceError):
                soon = Deadline.after(RELEASE_TIMEOUT_S)
                await self._catalog.rebuild_release(collection, shard, token=token, deadline=soon)
            raise
        return is_ours

    async def _fill(self, collection: Collection, shard: str, token: str, deadline: Deadline) -> None:
        async for rows in self._index.scan(
            collection, prefix=shard, fields=RECORD_FIELDS, deadline=deadline, consistency="Strong"
        ):
            await self._catalog.rebuild_add(
                collection, shard, _found(rows), token=token, lease_s=REBUILD_LEASE_S, deadline=deadline
            )
        await self._catalog.rebuild_end(collection, shard, token=token, deadline=deadline)

    async def _begin(self, collection: Collection, shard: str, token: str, deadline: Deadline) -> bool:
        """Whether the shard is ours to rebuild; False once it is whole."""
        while True:
            answer = await self._catalog.rebuild_begin(
                collection, shard, token=token, lease_s=REBUILD_LEASE_S, deadline=deadline
            )
            if answer != "busy":
                return answer == "begun"
            await asyncio.sleep(min(REBUILD_WAIT_S, deadline.left_s()))

    async def _complete(self, collection: Collection, overdue: Iterable[Version], deadline: Deadline) -> list[Version]:
        """The versions all of whose rows are in Milvus."""
        wanted = {version: version.keys for version in overdue}
        keys = [key for version in wanted.values() for key in version]
        rows = await self._index.rows(collection.name, keys, ["key"], deadline, consistency="Strong")
        there = {row["key"] for row in rows}
        return [version for version, keys in wanted.items() if there.issuperset(keys)]


def _found(rows: Iterable[dict[str, Any]]) -> list[Rebuilt]:
    """What the rows of some images, all of them, say about each."""
    images: dict[str, dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        key = RowKey.parse(row["key"])
        images[key.image_id][key.version].append(row)
    return [_found_of(image_id, versions) for image_id, versions in images.items()]


def _found_of(image_id: str, versions: Mapping[int, list[dict[str, Any]]]) -> Rebuilt:
    """The highest complete version lives unless the image was deleted since."""
    region_counts = {version: rows[0]["region_count"] for version, rows in versions.items()}
    deleted = max((version for version, count in region_counts.items() if count == 0), default=0)
    complete = [
        version for version, rows in versions.items() if len(rows) == region_counts[version] and version > deleted
    ]
    live = max(complete, default=None)
    dead = tuple(Version(image_id, each, count) for each, count in region_counts.items() if count and each != live)
    return Rebuilt(image_id, None if live is None else record_of(versions[live][0]), dead, deleted)
