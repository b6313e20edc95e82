"""The images of Fovea, kept by Milvus and Redis together: what the services see of the stores."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

import numpy as np

from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded, InvalidArgument, NotFound, ServiceError, Unavailable
from services.stores.backups import Backups
from services.stores.causes import cause_of
from services.stores.definitions import Definitions, Superseded, check_space
from services.stores.drafts import Change
from services.stores.filters.expression import expression_of
from services.stores.filters.grammar import parse_filter
from services.stores.finding import Finder
from services.stores.milvus.rows import EMBEDDING, RowKey, listed
from services.stores.milvus.scanning import scan
from services.stores.milvus.store import RowStore
from services.stores.moves import Moves
from services.stores.queries import FindResult, Hit, NearestQuery
from services.stores.records import (
    Collection,
    Counts,
    DeleteResult,
    Embeddings,
    ImageRecord,
    PutResult,
    StoredImage,
    image_id_of,
    is_image_id,
)
from services.stores.recovery import Recovery
from services.stores.redis.catalog import RedisCatalog
from services.stores.redis.shards import CatalogLost
from services.stores.scrubbing import Scrub
from services.stores.serving import Serving
from services.stores.sizes import Sizes
from services.stores.writing import Writer

READ_TIMEOUT_S = 10.0
SWEEP_TIMEOUT_S = 600.0
PAGE_SIZE = 1000
RECONNECT_S = 1.0

_logger = logging.getLogger(__name__)


class ImageStore:
    """Collections of images that are found by embedding."""

    def __init__(self, rows: RowStore, catalog: RedisCatalog) -> None:
        self._rows = rows
        self._catalog = catalog
        self._recovery = Recovery(rows, catalog)
        self._definitions = Definitions(rows, catalog, self._recovery)
        self._finder = Finder(rows, catalog)
        self.kept_queries = catalog.kept_queries()
        self.jobs = catalog.jobs()
        self.serving = Serving(rows, catalog, self._definitions)
        self.sizes = Sizes(rows, catalog, self._definitions)
        self.moves = Moves(
            rows=rows,
            catalog=catalog,
            definitions=self._definitions,
            recovery=self._recovery,
            finder=self._finder,
            serving=self.serving,
        )
        self.backups = Backups(rows, catalog, self._definitions, self._recovery)
        self._writer = Writer(rows, catalog, self._definitions, self._recovery, self.serving.tidy)
        self.scrub = Scrub(
            rows=rows, catalog=catalog, definitions=self._definitions, recovery=self._recovery, writer=self._writer
        )

    @classmethod
    async def open(cls, milvus_uri: str, redis_url: str) -> "ImageStore":
        """Connect to both stores; Unavailable when Milvus does not answer. Redis is asked nothing yet."""
        catalog = RedisCatalog.open(redis_url)  # first, because it opens nothing yet that would have to be closed
        return cls(await RowStore.open(milvus_uri), catalog)

    @classmethod
    async def open_when_up(cls, milvus_uri: str, redis_url: str) -> "ImageStore":
        """Connect as soon as Milvus answers, so that processes may start in any order."""
        logged = ""
        while True:
            try:
                return await cls.open(milvus_uri, redis_url)
            except (Unavailable, DeadlineExceeded) as error:
                if (cause := cause_of(error)) != logged:
                    _logger.warning("waiting for Milvus: %s", cause, extra={"cause": cause})
                    logged = cause
                await asyncio.sleep(RECONNECT_S)

    async def close(self) -> None:
        """Close both connections."""
        await self._recovery.close()
        try:
            await self._rows.close()
        finally:
            await self._catalog.close()

    async def ping(self, deadline: Deadline | None = None) -> None:
        """Ask both stores something that only a working store answers; Unavailable or FailedPrecondition otherwise."""
        deadline = deadline or Deadline.after(READ_TIMEOUT_S)
        await self._rows.ping(deadline)
        await self._catalog.ping(deadline)

    async def ping_milvus(self) -> None:
        """Ask Milvus alone: searches go on, with a warning, while Redis is away."""
        await self._rows.ping(Deadline.after(READ_TIMEOUT_S))

    async def create(self, collection: Collection) -> Collection:
        """Create a collection, and return it with its index; AlreadyExists where the name is taken."""
        return await self._definitions.create(collection)

    async def get(self, name: str) -> Collection:
        """The definition of a collection, at most a second old; NotFound where there is none."""
        return await self._definitions.get(name)

    async def collections(self) -> list[Collection]:
        """All collections, by name."""
        return await self._rows.collections()

    async def update(self, name: str, *, new_name: str = "", display_name: str | None = None) -> Collection:
        """Change what a collection is called; what is empty or None stays."""
        return await self._definitions.update(name, new_name=new_name, display_name=display_name)

    async def drop(self, name: str) -> None:
        """Delete a collection with everything in it; NotFound where there is none."""
        await self._definitions.drop(name)

    async def drop_remains(self) -> None:
        """Finish the deletions of collections that a crash cut off."""
        await self._definitions.drop_remains()

    async def counts(self, name: str) -> Counts:
        """How many images and regions can be found."""
        return await self._definitions.with_rebuild(name, self._catalog.counts, Deadline.after(READ_TIMEOUT_S))

    async def counts_or_none(self, name: str) -> Counts | None:
        """The counts, or None where Redis lost the collection: its rebuild begins, and is not waited for."""
        collection = await self._definitions.get(name)
        try:
            return await self._catalog.counts(collection, Deadline.after(READ_TIMEOUT_S))
        except CatalogLost:
            self._recovery.rebuild_soon(await self._definitions.fresh(name))
            return None

    async def lookup(self, name: str, uris: Sequence[str]) -> list[ImageRecord | None]:
        """For each uri the live record, if there is one."""
        ids, deadline = [image_id_of(uri) for uri in uris], Deadline.after(READ_TIMEOUT_S)
        records = await self._definitions.with_rebuild(name, self._catalog.records, set(ids), deadline)
        return [records.get(image_id) for image_id in ids]

    async def put(
        self, name: str, changes: Sequence[Change], deadline: Deadline, *, space: str = ""
    ) -> list[PutResult]:
        """Write images, one result each, in order. What is answered with a status is durable and findable.

        SpaceChanged for those whose embeddings are of another `space` than the collection.
        """
        return await self._writer.put(name, changes, deadline, space=space)

    async def delete(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> DeleteResult:
        """Delete images for good; unknown ids are not an error."""
        return await self._writer.delete(name, image_ids, deadline)

    async def find(
        self, name: str, queries: Sequence[NearestQuery], deadline: Deadline, *, space: str = ""
    ) -> list[FindResult | ServiceError]:
        """For each query the images nearest to it, best first; a page past the end is empty, a wrong query fails alone.

        SpaceChanged where the collection is not, or no longer, of the `space` that the embeddings are from.
        """
        collection = await self.get(name)
        check_space(collection, space)
        try:
            return await self._finder.find(collection, queries, deadline)
        except (CatalogLost, NotFound):
            # A search does not wait for a rebuild: it trusts the rows, unless the collection is another one by now.
            fresh = await self._definitions.fresh(name)
        check_space(fresh, space or collection.space)
        return await self._finder.find(fresh, queries, deadline, trust_rows=True)

    async def embeddings(self, collection: Collection, hits: Sequence[Hit], deadline: Deadline) -> Embeddings:
        """The embeddings (N, D) of what hits stand for, in order; zeros where it was deleted meanwhile."""
        keys = [str(RowKey(hit.record.image_id, hit.record.version, hit.region_number)) for hit in hits]
        rows = await self._rows.read(collection.store_name, keys, ["key", EMBEDDING], deadline)
        by_key = {row["key"]: row[EMBEDDING] for row in rows}
        found = np.zeros((len(hits), collection.dimension), dtype=np.float32)
        for position, key in enumerate(keys):
            if key in by_key:
                found[position] = by_key[key]
        return found

    async def image(self, name: str, image_id: str, *, space: str = "") -> StoredImage:
        """An image with its regions and embeddings; NotFound where there is none, SpaceChanged as for `find`."""
        deadline = Deadline.after(READ_TIMEOUT_S)
        for _ in range(3):  # an update between the two questions leaves the rows of the first answer deleted
            collection = await self.get(name)
            check_space(collection, space)
            ids = [image_id] if is_image_id(image_id) else []
            try:
                records = await self._definitions.on(collection, self._catalog.records, ids, deadline)
            except Superseded:
                continue
            if not records:
                raise NotFound(f"there is no image {image_id[:64]} in {name}")
            stored = await self._rows.images(collection.store_name, records.values(), deadline)
            if stored:
                return stored[image_id]
        raise Unavailable(f"the rows of the image {image_id} cannot be read now; try again")

    async def page(
        self,
        name: str,
        *,
        page_size: int,
        page_token: str = "",
        filter: str = "",  # noqa: A002 - the contract's word
    ) -> tuple[list[ImageRecord], str]:
        """Up to `page_size` records by image_id, and the token of the next page; the last page's token is empty."""
        if page_token and not is_image_id(page_token):
            raise InvalidArgument("page_token: send the one of the page before")
        deadline = Deadline.after(READ_TIMEOUT_S)
        records: list[ImageRecord] = []
        # One record more than the page has tells whether another page follows.
        async for batch in self._batches(name, filter, page_token, min(PAGE_SIZE, page_size + 1), deadline):
            records += batch
            if len(records) > page_size:
                return records[:page_size], records[page_size - 1].image_id
        return records, ""

    async def ids_matching(self, name: str, filter: str) -> list[str]:  # noqa: A002
        """The ids of all images that match a filter, in order."""
        batches = self._batches(name, filter, "", PAGE_SIZE, Deadline.after(SWEEP_TIMEOUT_S))
        return [record.image_id async for batch in batches for record in batch]

    async def used_sha256s(self, sha256s: Sequence[str]) -> set[str]:
        """Those of these SHA-256 that a live or pending image of any collection has."""
        deadline = Deadline.after(SWEEP_TIMEOUT_S)
        used: set[str] = set()
        for collection in await self._rows.collections():
            if left := set(sha256s) - used:
                with contextlib.suppress(NotFound):  # dropped meanwhile
                    used |= await self._used_in(collection, left, deadline)
        return used

    async def sweep(self, name: str) -> None:
        """Finish what crashed writers and moves left behind, and rebuild Redis where it lost the collection."""
        await self.serving.tidy(name)
        await self._definitions.with_rebuild(name, self._recovery.sweep, Deadline.after(SWEEP_TIMEOUT_S))

    async def flush(self, name: str) -> None:
        """Let Milvus index what was written, for when an ingest went quiet."""
        await self._rows.flush((await self.get(name)).store_name, Deadline.after(SWEEP_TIMEOUT_S))

    async def _used_in(self, collection: Collection, sha256s: set[str], deadline: Deadline) -> set[str]:
        # Pending first: what becomes live between the two questions is seen by one of them.
        pending = await self._definitions.with_rebuild(collection.name, self._catalog.pending_sha256s, deadline)
        used = pending & sha256s
        expression = f"sha256 in [{listed(sha256s)}]"
        batches = scan(
            self._rows.query, collection, expression=expression, fields=(), deadline=deadline, consistency="Strong"
        )
        async for rows in batches:
            ids = {RowKey.parse(row["key"]).image_id for row in rows}
            used |= {record.sha256 for record in await self._records(collection.name, list(ids), deadline)} & sha256s
        return used

    async def _records(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> list[ImageRecord]:
        """The live records of those of these images that have one, in order."""
        found = await self._definitions.with_rebuild(name, self._catalog.records, image_ids, deadline)
        return [found[image_id] for image_id in image_ids if image_id in found]

    async def _batches(
        self, name: str, filter_text: str, after: str, size: int, deadline: Deadline
    ) -> AsyncIterator[list[ImageRecord]]:
        """Live records behind `after`, by image_id: from Redis alone, `size` at a time, or those that match a filter."""
        tree = parse_filter(filter_text)
        if tree is None:
            with_rebuild, list_ids = self._definitions.with_rebuild, self._catalog.ids
            while ids := await with_rebuild(name, list_ids, after=after, limit=size, deadline=deadline):
                yield await self._records(name, ids, deadline)
                after = ids[-1]
            return
        expression, collection = expression_of(tree, self._rows.engine), await self._definitions.get(name)
        async for rows in scan(
            self._rows.query, collection, expression=expression, fields=(), after=after, deadline=deadline
        ):
            keys = [RowKey.parse(row["key"]) for row in rows]
            records = await self._records(name, list(dict.fromkeys(key.image_id for key in keys)), deadline)
            versions = {(key.image_id, key.version) for key in keys}  # rows of other versions do not count
            yield [record for record in records if (record.image_id, record.version) in versions]
