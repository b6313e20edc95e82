"""What brings the two stores together again: the sweep after a crash, and the rebuild of Redis from Milvus."""

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from rpc.deadline import Deadline
from services.stores.catalog import Overdue, Rebuilt, RedisCatalog
from services.stores.milvus import MilvusIndex
from services.stores.records import Collection
from services.stores.rows import RECORD_FIELDS, RowKey, record_of, version_keys
from services.stores.shards import SHARDS

REBUILD_LEASE_S = 30.0
REBUILD_WAIT_S = 0.1
REBUILDS_AT_ONCE = 4

_logger = logging.getLogger(__name__)


class Recovery:
    """Finishes what writers left unfinished."""

    def __init__(self, index: MilvusIndex, catalog: RedisCatalog) -> None:
        self._index = index
        self._catalog = catalog

    async def sweep(self, collection: Collection, deadline: Deadline) -> None:
        """Versions whose writer is gone live when all their rows are there, and die otherwise; dead rows are deleted."""
        overdue = await self._catalog.overdue(collection, deadline)
        if overdue:
            complete = await self._complete(collection, overdue, deadline)
            await self._catalog.commit(collection, complete, deadline)
            incomplete = {each.image_id: each.version for each in overdue if each.image_id not in complete}
            await self._catalog.abandon(collection, incomplete, deadline)
            _logger.warning("%s: of %d versions left behind, %d live now", collection.name, len(overdue), len(complete))
        await self.bury(collection, await self._catalog.dead(collection, deadline), deadline)

    async def bury(self, collection: Collection, dead: Mapping[str, str], deadline: Deadline) -> None:
        """Delete the rows of dead versions, then forget the versions."""
        keys = [key for image_id, versions in dead.items() for key in _keys_of(image_id, versions)]
        if keys:
            await self._index.delete(collection.name, keys, deadline)
        await self._catalog.bury(collection, {each: versions for each, versions in dead.items() if versions}, deadline)

    async def start(self, collection: Collection, deadline: Deadline) -> None:
        """Open an empty collection for writes."""
        token = secrets.token_hex(8)

        async def open_shard(shard: str) -> None:
            if await self._begin(collection, shard, token, deadline):
                await self._catalog.rebuild_end(collection, shard, token=token, deadline=deadline)

        await asyncio.gather(*(open_shard(shard) for shard in SHARDS))

    async def rebuild(self, collection: Collection, deadline: Deadline) -> None:
        """Fill Redis from Milvus: the highest complete version of each picture lives, the others die."""
        _logger.warning("%s: Redis does not hold it, rebuilding it from Milvus", collection.name)
        turns = asyncio.Semaphore(REBUILDS_AT_ONCE)

        async def rebuild_shard(shard: str) -> None:
            async with turns:
                await self._rebuild_shard(collection, shard, deadline)

        async with asyncio.TaskGroup() as group:
            for shard in SHARDS:
                group.create_task(rebuild_shard(shard))

    async def _rebuild_shard(self, collection: Collection, shard: str, deadline: Deadline) -> None:
        token = secrets.token_hex(8)
        if not await self._begin(collection, shard, token, deadline):
            return
        async for rows in self._index.scan(
            collection, prefix=shard, fields=RECORD_FIELDS, deadline=deadline, consistency="Strong"
        ):
            await self._catalog.rebuild_add(
                collection, shard, _rebuilt(rows), token=token, lease_s=REBUILD_LEASE_S, deadline=deadline
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

    async def _complete(self, collection: Collection, overdue: Iterable[Overdue], deadline: Deadline) -> dict[str, int]:
        """The versions all of whose rows are in Milvus."""
        wanted = {each: version_keys(each.image_id, each.version, each.region_count) for each in overdue}
        keys = [key for version in wanted.values() for key in version]
        rows = await self._index.rows(collection.name, keys, ["key"], deadline, consistency="Strong")
        there = {row["key"] for row in rows}
        return {each.image_id: each.version for each, version in wanted.items() if there.issuperset(version)}


def _rebuilt(rows: Iterable[dict[str, Any]]) -> list[Rebuilt]:
    """What the rows of some pictures, all of them, say about each."""
    images: dict[str, dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        key = RowKey.parse(row["key"])
        images[key.image_id][key.version].append(row)
    return [_rebuilt_image(image_id, versions) for image_id, versions in images.items()]


def _rebuilt_image(image_id: str, versions: Mapping[int, list[dict[str, Any]]]) -> Rebuilt:
    complete = [version for version, rows in versions.items() if len(rows) == rows[0]["region_count"]]
    live = max(complete, default=None)
    dead = tuple((version, rows[0]["region_count"]) for version, rows in versions.items() if version != live)
    return Rebuilt(image_id, None if live is None else record_of(versions[live][0]), dead)


def _keys_of(image_id: str, versions: str) -> list[str]:
    """The keys of all rows of dead versions."""
    numbers = [each.split(":") for each in versions.split(",") if each]
    return [key for version, regions in numbers for key in version_keys(image_id, int(version), int(regions))]
