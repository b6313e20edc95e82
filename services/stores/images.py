"""The pictures of Fovea, kept by Milvus and Redis together: what the services see of the stores."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from rpc.deadline import Deadline
from rpc.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ServiceError, Unavailable
from services.stores.catalog import RedisCatalog
from services.stores.conditions import Filter
from services.stores.contents import Contents
from services.stores.definitions import Definitions
from services.stores.expression import Engine, expression_of
from services.stores.filter import parse_filter
from services.stores.finding import Finder, Query
from services.stores.milvus import MilvusIndex
from services.stores.records import (
    Collection,
    Counts,
    Deleted,
    Embeddings,
    Found,
    ImageRecord,
    NewImage,
    NewMetadata,
    PutResult,
    StoredImage,
    image_id_of,
    is_image_id,
)
from services.stores.recovery import Recovery
from services.stores.rows import EMBEDDING, REGION_FIELDS, RowKey, stored_image, version_keys
from services.stores.scripts import QUARANTINE_S
from services.stores.shards import CatalogLost
from services.stores.writing import Writer

READ_TIMEOUT_S = 10.0
SWEEP_TIMEOUT_S = 600.0
PAGE_SIZE = 1000

_logger = logging.getLogger(__name__)


class ImageStore:
    """Collections of pictures that are found by embedding."""

    def __init__(self, index: MilvusIndex, catalog: RedisCatalog) -> None:
        self._index = index
        self._catalog = catalog
        self._recovery = Recovery(index, catalog)
        self._definitions = Definitions(index, self._recovery)
        self._writer = Writer(index, catalog, self._definitions, self._recovery)
        self._finder = Finder(index, catalog)
        self._contents = Contents(index, catalog, self._definitions)

    @classmethod
    async def open(cls, milvus_uri: str, redis_url: str, *, quarantine_s: float = QUARANTINE_S) -> "ImageStore":
        """Connect to both stores; Unavailable when Milvus does not answer. Redis is asked nothing yet."""
        return cls(await MilvusIndex.open(milvus_uri), RedisCatalog.open(redis_url, quarantine_s))

    @property
    def engine(self) -> Engine:
        """What runs behind the Milvus URI."""
        return self._index.engine

    async def close(self) -> None:
        """Close both connections."""
        await self._recovery.close()
        await asyncio.gather(self._index.close(), self._catalog.close())

    async def ping(self, deadline: Deadline | None = None) -> None:
        """Ask both stores something that only a working store answers; Unavailable or FailedPrecondition otherwise."""
        deadline = deadline or Deadline.after(READ_TIMEOUT_S)
        await self._index.ping(deadline)
        await self._catalog.ping(deadline)

    async def ping_index(self) -> None:
        """Ask Milvus alone: searches go on, with a warning, while Redis is away."""
        await self._index.ping(Deadline.after(READ_TIMEOUT_S))

    async def create(self, collection: Collection) -> Collection:
        """Create a collection and tell with which index; AlreadyExists where the name is taken."""
        deadline = Deadline.after(READ_TIMEOUT_S)
        await self._catalog.ping(deadline)
        wanted = replace(collection, generation=secrets.token_hex(8))
        try:
            created = await self._index.create(wanted)
            await self._recovery.start(created, deadline)
        except AlreadyExists:
            return self._definitions.remember(await self._completed(wanted, deadline))
        except BaseException:
            # Also where the caller is gone; a crash in between is completed by the next sweep or attempt.
            await asyncio.shield(asyncio.create_task(self._undo(wanted)))
            raise
        return self._definitions.remember(created)

    async def _completed(self, wanted: Collection, deadline: Deadline) -> Collection:
        """What an attempt that crashed left behind, now whole; AlreadyExists where there is more, or something else."""
        found = await self._index.collection(wanted.name)
        same = replace(wanted, index=wanted.index or found.index, generation="", create_time_s=0.0)
        if replace(found, generation="", create_time_s=0.0) == same:
            try:
                await self._catalog.counts(found, deadline)
            except CatalogLost:
                if not await self._index.has_rows(found, deadline):
                    await self._recovery.start(found, deadline)
                    return found
        raise AlreadyExists(f"the collection {wanted.name} exists; delete it or take another name")

    async def _undo(self, wanted: Collection) -> None:
        """Remove what a failed attempt made, and nothing that somebody else made under the same name."""
        try:
            if (await self._index.collection(wanted.name)).generation == wanted.generation:
                await self._index.drop(wanted.name)
                await self._catalog.drop(wanted.name, Deadline.after(READ_TIMEOUT_S))
        except NotFound:
            pass
        except ServiceError as error:
            _logger.warning("%s: it was not created, and what is left of it stays: %s", wanted.name, error)

    async def get(self, name: str) -> Collection:
        """The definition of a collection, at most a second old; NotFound where there is none."""
        return await self._definitions.get(name)

    async def collections(self) -> list[Collection]:
        """All collections, by name."""
        return await self._index.collections()

    async def drop(self, name: str) -> None:
        """Delete a collection with everything in it; NotFound where there is none."""
        await self._definitions.fresh(name)
        await self._index.drop(name)
        self._definitions.forget(name)
        await self._catalog.drop(name, Deadline.after(READ_TIMEOUT_S))

    async def counts(self, name: str) -> Counts:
        """How many pictures and regions can be found."""
        deadline = Deadline.after(READ_TIMEOUT_S)
        return await self._definitions.whole(name, lambda collection: self._catalog.counts(collection, deadline))

    async def counts_or_none(self, name: str) -> Counts | None:
        """The counts, or None where Redis lost the collection: its rebuild begins, and nobody waits for it."""
        collection = await self._definitions.get(name)
        try:
            return await self._catalog.counts(collection, Deadline.after(READ_TIMEOUT_S))
        except CatalogLost:
            self._recovery.rebuild_soon(await self._definitions.fresh(name))
            return None

    async def lookup(self, name: str, uris: Sequence[str]) -> list[ImageRecord | None]:
        """For each uri the live record, if there is one."""
        ids = [image_id_of(uri) for uri in uris]
        deadline = Deadline.after(READ_TIMEOUT_S)
        records = await self._definitions.whole(name, lambda it: self._catalog.records(it, set(ids), deadline))
        return [records.get(image_id) for image_id in ids]

    async def put(self, name: str, changes: Sequence[NewImage | NewMetadata], deadline: Deadline) -> list[PutResult]:
        """Write images, one result each, in order. What is answered with a status is durable and findable."""
        return await self._writer.put(name, changes, deadline)

    async def delete(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> Deleted:
        """Delete images for good, and tell which there were; unknown ids are not an error."""
        return await self._writer.delete(name, image_ids, deadline)

    async def find(
        self,
        name: str,
        embeddings: Embeddings,
        *,
        limit: int,
        offset: int = 0,
        filter: str = "",  # noqa: A002 - the contract's word
        min_score: float | None = None,
        exact: bool = False,
        group_by_image: bool = True,
        fold_copies: bool = True,
        space: str = "",
        deadline: Deadline,
    ) -> Found:
        """The pictures nearest to any of the embeddings (Q, D), best first; a page past the end is empty.

        FailedPrecondition where the collection is not, or no longer, of the `space` that the embeddings are from.
        """
        query = Query(embeddings, limit, offset, filter, min_score, exact, group_by_image, fold_copies)
        collection = await self.get(name)
        _check_space(collection, space)
        try:
            return await self._finder.find(collection, query, deadline)
        except CatalogLost:
            fresh = await self._definitions.fresh(name)
        _check_space(fresh, space or collection.space)
        return await self._finder.find(fresh, query, deadline, trust_rows=True)

    async def image(self, name: str, image_id: str) -> StoredImage:
        """A picture with its regions and embeddings; NotFound where there is none."""
        deadline = Deadline.after(READ_TIMEOUT_S)
        for _ in range(2):
            record = await self._record(name, image_id, deadline)
            keys = version_keys(image_id, record.version, record.region_count)
            rows = await self._index.rows(name, keys, ["key", *REGION_FIELDS, EMBEDDING], deadline)
            if len(rows) == record.region_count:
                return stored_image(record, rows)
        raise Unavailable(f"the rows of the picture {image_id} cannot be read now; try again")

    async def page(
        self,
        name: str,
        *,
        filter: str = "",  # noqa: A002
        page_size: int,
        page_token: str = "",
    ) -> tuple[list[ImageRecord], str]:
        """Up to `page_size` records by image_id, and the token of the next page; the last page's token is empty."""
        if page_token and not is_image_id(page_token):
            raise InvalidArgument("page_token: send what the page before gave")
        deadline = Deadline.after(READ_TIMEOUT_S)
        records: list[ImageRecord] = []
        async for batch in self._batches(name, filter, page_token, min(PAGE_SIZE, page_size + 1), deadline):
            records += batch
            if len(records) > page_size:
                return records[:page_size], records[page_size - 1].image_id
        return records, ""

    async def ids_matching(self, name: str, filter: str) -> list[str]:  # noqa: A002
        """The ids of all pictures that match a filter, in order."""
        deadline = Deadline.after(SWEEP_TIMEOUT_S)
        batches = self._batches(name, filter, "", PAGE_SIZE, deadline)
        return [record.image_id async for batch in batches for record in batch]

    async def used_sha256s(self, sha256s: Sequence[str]) -> set[str]:
        """Those of these SHA-256 that a live or pending image of any collection has."""
        return await self._contents.used(sha256s, Deadline.after(SWEEP_TIMEOUT_S))

    async def sweep(self, name: str) -> None:
        """Finish what crashed writers left behind, and rebuild Redis where it lost the collection."""
        deadline = Deadline.after(SWEEP_TIMEOUT_S)
        await self._definitions.whole(name, lambda collection: self._recovery.sweep(collection, deadline))

    async def settle(self, name: str) -> None:
        """Let Milvus index what was written, for when an ingest went quiet; Milvus Lite needs nothing."""
        if self._index.engine is Engine.SERVER:
            await self._index.flush(name, Deadline.after(SWEEP_TIMEOUT_S))

    async def _record(self, name: str, image_id: str, deadline: Deadline) -> ImageRecord:
        records = await self._records(name, [image_id], deadline) if is_image_id(image_id) else []
        if not records:
            raise NotFound(f"there is no picture {image_id[:64]} in {name}")
        return records[0]

    def _batches(
        self, name: str, filter_text: str, after: str, size: int, deadline: Deadline
    ) -> AsyncIterator[list[ImageRecord]]:
        """Live records behind `after`, by image_id."""
        tree = parse_filter(filter_text)
        if tree is None:
            return self._all(name, after, size, deadline)
        return self._matching(name, tree, after, deadline)

    async def _all(self, name: str, after: str, size: int, deadline: Deadline) -> AsyncIterator[list[ImageRecord]]:
        """Live records from Redis alone, `size` at a time."""
        while True:
            ids = await self._ids(name, after, size, deadline)
            if not ids:
                return
            yield await self._records(name, ids, deadline)
            after = ids[-1]

    async def _matching(
        self, name: str, tree: Filter, after: str, deadline: Deadline
    ) -> AsyncIterator[list[ImageRecord]]:
        """Live records with a row that matches; rows of other versions do not count."""
        expression = expression_of(tree, self._index.engine)
        scan = self._index.scan(await self.get(name), expression=expression, fields=(), after=after, deadline=deadline)
        async for rows in scan:
            keys = [RowKey.parse(row["key"]) for row in rows]
            versions = {(key.image_id, key.version) for key in keys}
            records = await self._records(name, list(dict.fromkeys(key.image_id for key in keys)), deadline)
            yield [record for record in records if (record.image_id, record.version) in versions]

    async def _ids(self, name: str, after: str, size: int, deadline: Deadline) -> list[str]:
        return await self._definitions.whole(
            name, lambda it: self._catalog.ids(it, after=after, limit=size, deadline=deadline)
        )

    async def _records(self, name: str, ids: Sequence[str], deadline: Deadline) -> list[ImageRecord]:
        records = await self._definitions.whole(name, lambda it: self._catalog.records(it, ids, deadline))
        return [records[image_id] for image_id in ids if image_id in records]


def _check_space(collection: Collection, space: str) -> None:
    if space and collection.space != space:
        raise FailedPrecondition(
            f"the collection {collection.name} is of the space {collection.space}, the query of {space}"
        )
