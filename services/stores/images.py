"""The pictures of Fovea, kept by Milvus and Redis together, and the one protocol by which they are written.

A version is begun in Redis, its rows are written to Milvus under keys of their own, then Redis makes it live; only
then it is acknowledged, and the rows of the version before are deleted. A crash between any two steps leaves either
the old version or the new one, never both and never none.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from rpc.deadline import Deadline
from rpc.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, ServiceError, Unavailable
from services.stores.catalog import Begun, CatalogLost, RedisCatalog, Unchanged
from services.stores.drafts import Prepared, prepare
from services.stores.entries import fingerprint_of
from services.stores.expression import Engine, expression_of
from services.stores.filter import parse_filter
from services.stores.finding import Finder, Query
from services.stores.milvus import MilvusIndex
from services.stores.records import (
    Collection,
    Counts,
    Embeddings,
    Found,
    ImageRecord,
    Metadata,
    NewImage,
    PutResult,
    PutStatus,
    StoredImage,
    image_id_of,
    is_image_id,
)
from services.stores.recovery import Recovery
from services.stores.rows import EMBEDDING, REGION_FIELDS, RowKey, rows_of, stored_image, version_keys

LEASE_S = 30.0
WRITE_TIMEOUT_S = 20.0  # well inside the lease: nobody may sweep what is still being written
READ_TIMEOUT_S = 10.0
SWEEP_TIMEOUT_S = 600.0
BUSY_WAIT_S = 0.25
DEFINITION_AGE_S = 1.0
DELETE_BATCH = 1000

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


class ImageStore:
    """Collections of pictures that are found by embedding."""

    def __init__(self, index: MilvusIndex, catalog: RedisCatalog) -> None:
        self._index = index
        self._catalog = catalog
        self._finder = Finder(index, catalog)
        self._recovery = Recovery(index, catalog)
        self._definitions: dict[str, tuple[Collection, float]] = {}

    @classmethod
    async def open(cls, milvus_uri: str, redis_url: str) -> "ImageStore":
        """Connect to both stores; Unavailable when Milvus does not answer. Redis is asked nothing yet."""
        return cls(await MilvusIndex.open(milvus_uri), RedisCatalog.open(redis_url))

    @property
    def engine(self) -> Engine:
        """What runs behind the Milvus URI."""
        return self._index.engine

    async def close(self) -> None:
        """Close both connections."""
        await asyncio.gather(self._index.close(), self._catalog.close())

    async def ping(self, deadline: Deadline | None = None) -> None:
        """Ask both stores something that only a working store answers; Unavailable or FailedPrecondition otherwise."""
        deadline = deadline or Deadline.after(READ_TIMEOUT_S)
        await self._index.ping(deadline)
        await self._catalog.ping(deadline)

    async def create(self, collection: Collection) -> Collection:
        """Create a collection and tell with which index; AlreadyExists where the name is taken."""
        deadline = Deadline.after(READ_TIMEOUT_S)
        await self._catalog.ping(deadline)
        created = await self._index.create(replace(collection, generation=secrets.token_hex(8)))
        await self._recovery.start(created, deadline)
        return self._remembered(created)

    async def get(self, name: str) -> Collection:
        """The definition of a collection, at most a second old; NotFound where there is none."""
        known, until_s = self._definitions.get(name, (None, 0.0))
        if known is not None and time.monotonic() < until_s:
            return known
        return await self._fresh(name)

    async def collections(self) -> list[Collection]:
        """All collections, by name."""
        return await self._index.collections()

    async def drop(self, name: str) -> None:
        """Delete a collection with everything in it; NotFound where there is none."""
        await self._fresh(name)
        await self._index.drop(name)
        self._definitions.pop(name, None)
        await self._catalog.drop(name, Deadline.after(READ_TIMEOUT_S))

    async def counts(self, name: str) -> Counts:
        """How many pictures and regions can be found."""
        deadline = Deadline.after(READ_TIMEOUT_S)
        return await self._whole(name, lambda collection: self._catalog.counts(collection, deadline))

    async def unchanged(self, name: str, items: Sequence[tuple[str, str, Metadata]]) -> list[ImageRecord | None]:
        """For each (uri, sha256, metadata) the live record with just these, if there is one."""
        wanted = [(image_id_of(uri), fingerprint_of(sha256, metadata)) for uri, sha256, metadata in items]
        return await self._catalog.unchanged(await self.get(name), wanted, Deadline.after(READ_TIMEOUT_S))

    async def put(self, name: str, images: Sequence[NewImage], deadline: Deadline) -> list[PutResult]:
        """Write pictures, one result each, in order. What is answered with a status is durable and findable."""
        collection = await self.get(name)
        results: list[PutResult | None] = [None] * len(images)
        waves: list[dict[str, tuple[int, Prepared]]] = []
        for place, image in enumerate(images):
            try:
                prepared = prepare(image, collection.dimension, time.time())
            except InvalidArgument as error:
                results[place] = PutResult(_id_or_nothing(image.uri), error=error)
                continue
            image_id = prepared.record.image_id
            wave = next((each for each in waves if image_id not in each), None)
            if wave is None:
                waves.append(wave := {})
            wave[image_id] = (place, prepared)
        for wave in waves:
            written = await self._put_twice(name, {image_id: each for image_id, (_, each) in wave.items()}, deadline)
            for image_id, (place, _) in wave.items():
                results[place] = written[image_id]
        return [result for result in results if result is not None]

    async def delete(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> int:
        """Delete pictures for good and tell how many there were; unknown ids are no error."""
        ids = list(dict.fromkeys(each for each in image_ids if is_image_id(each)))
        deleted = 0
        for start in range(0, len(ids), DELETE_BATCH):
            deleted += await self._delete(name, ids[start : start + DELETE_BATCH], deadline)
        return deleted

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
        deadline: Deadline,
    ) -> Found:
        """The pictures nearest to any of the embeddings (Q, D), best first; a page past the end is empty."""
        query = Query(embeddings, limit, offset, filter, min_score, exact, group_by_image, fold_copies)
        collection = await self.get(name)
        try:
            return await self._finder.find(collection, query, deadline)
        except CatalogLost:
            fresh = await self._fresh(name)
        if fresh.space != collection.space:
            raise FailedPrecondition(f"the collection {name} was replaced by one of another space; ask again")
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
        async for batch in self._batches(name, filter, page_token, page_size + 1, deadline):
            records += batch
            if len(records) > page_size:
                return records[:page_size], records[page_size - 1].image_id
        return records, ""

    async def ids_matching(self, name: str, filter: str) -> list[str]:  # noqa: A002
        """The ids of all pictures that match a filter, in order."""
        deadline = Deadline.after(SWEEP_TIMEOUT_S)
        batches = self._batches(name, filter, "", DELETE_BATCH, deadline)
        return [record.image_id async for batch in batches for record in batch]

    async def sweep(self, name: str) -> None:
        """Finish what crashed writers left behind, and rebuild Redis where it lost the collection."""
        deadline = Deadline.after(SWEEP_TIMEOUT_S)
        await self._whole(name, lambda collection: self._recovery.sweep(collection, deadline))

    async def settle(self, name: str) -> None:
        """Let Milvus index what was written, for when an ingest went quiet; Milvus Lite needs nothing."""
        if self._index.engine is Engine.SERVER:
            await self._index.flush(name, Deadline.after(SWEEP_TIMEOUT_S))

    async def _put_twice(self, name: str, images: Mapping[str, Prepared], deadline: Deadline) -> dict[str, PutResult]:
        """Write pictures; those that somebody else is writing are tried once more."""
        results = await self._put(name, images, deadline)
        again = {
            image_id: images[image_id] for image_id, result in results.items() if isinstance(result.error, Aborted)
        }
        if again:
            await asyncio.sleep(min(BUSY_WAIT_S, deadline.left_s()))
            results |= await self._put(name, again, deadline)
        return results

    async def _put(self, name: str, images: Mapping[str, Prepared], deadline: Deadline) -> dict[str, PutResult]:
        """The protocol, once, for pictures with ids of their own."""
        deadline = Deadline(min(deadline.at_s, Deadline.after(WRITE_TIMEOUT_S).at_s))
        token = secrets.token_hex(8)
        drafts = [image.draft for image in images.values()]
        answers = await self._whole(
            name, lambda it: self._catalog.begin(it, drafts, token=token, lease_s=LEASE_S, deadline=deadline)
        )
        begun = {image_id: answer for image_id, answer in answers.items() if isinstance(answer, Begun)}
        committed = await self._written(name, images, begun, deadline)
        await self._bury(name, [image_id for image_id, answer in begun.items() if answer.replaces], deadline)
        return {
            image_id: _result(image_id, answer, images[image_id], is_live=committed.get(image_id, False))
            for image_id, answer in answers.items()
        }

    async def _written(
        self, name: str, images: Mapping[str, Prepared], begun: Mapping[str, Begun], deadline: Deadline
    ) -> dict[str, bool]:
        """Write the rows of begun versions and make them live."""
        if not begun:
            return {}
        versions = {image_id: answer.version for image_id, answer in begun.items()}
        try:
            rows = [
                row
                for image_id, version in versions.items()
                for row in rows_of(replace(images[image_id].record, version=version), images[image_id].image)
            ]
            await self._index.write(name, rows, deadline)
            return await self._whole(name, lambda collection: self._catalog.commit(collection, versions, deadline))
        except BaseException:
            await self._abandon(name, versions)
            raise

    async def _abandon(self, name: str, versions: Mapping[str, int]) -> None:
        """Give a failed write up at once; where even that fails, the sweep does it when the lease has run out."""
        try:
            await self._catalog.abandon(await self.get(name), versions, Deadline.after(1.0))
        except (ServiceError, CatalogLost) as error:
            _logger.warning("%s: %d versions are left to the sweep: %s", name, len(versions), error)

    async def _bury(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> None:
        """Delete the rows that new versions replaced; the new ones live whatever becomes of this."""
        if not image_ids:
            return
        try:
            collection = await self.get(name)
            dead = await self._catalog.dead(collection, deadline, image_ids)
            await self._recovery.bury(collection, dead, deadline)
        except (ServiceError, CatalogLost) as error:
            _logger.warning("%s: old rows of %d pictures are left to the sweep: %s", name, len(image_ids), error)

    async def _delete(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> int:
        """Hide pictures, delete all their rows, forget them."""
        retired = await self._whole(name, lambda it: self._catalog.retire(it, image_ids, deadline))
        dead = {image_id: versions for image_id, (_, versions) in retired.items()}
        await self._recovery.bury(await self.get(name), dead, deadline)
        return sum(lived for lived, _ in retired.values())

    async def _record(self, name: str, image_id: str, deadline: Deadline) -> ImageRecord:
        if is_image_id(image_id):
            records = await self._whole(
                name, lambda collection: self._catalog.records(collection, [image_id], deadline)
            )
            if image_id in records:
                return records[image_id]
        raise NotFound(f"there is no picture {image_id[:64]} in {name}")

    async def _batches(
        self, name: str, filter_text: str, after: str, size: int, deadline: Deadline
    ) -> AsyncIterator[list[ImageRecord]]:
        """Live records by image_id, from Redis alone where there is no filter."""
        tree = parse_filter(filter_text)
        if tree is None:
            while ids := await self._whole(
                name,
                lambda it, after=after: self._catalog.ids(it, after=after, limit=size, deadline=deadline),  # type: ignore[misc]
            ):
                yield await self._records_of(name, ids, deadline)
                after = ids[-1]
            return
        expression = expression_of(tree, self._index.engine)
        scan = self._index.scan(await self.get(name), expression=expression, fields=(), after=after, deadline=deadline)
        async for rows in scan:
            keys = [RowKey.parse(row["key"]) for row in rows]
            versions = {(key.image_id, key.version) for key in keys}
            records = await self._records_of(name, list(dict.fromkeys(key.image_id for key in keys)), deadline)
            yield [record for record in records if (record.image_id, record.version) in versions]

    async def _records_of(self, name: str, ids: Sequence[str], deadline: Deadline) -> list[ImageRecord]:
        records = await self._whole(name, lambda collection: self._catalog.records(collection, ids, deadline))
        return [records[image_id] for image_id in ids if image_id in records]

    async def _whole(self, name: str, call: Callable[[Collection], Awaitable[_T]]) -> _T:
        """A call on a collection that Redis holds: where it was lost, it is rebuilt first."""
        try:
            return await call(await self.get(name))
        except CatalogLost:
            collection = await self._fresh(name)
            await self._recovery.rebuild(collection, Deadline.after(SWEEP_TIMEOUT_S))
            return await call(collection)

    async def _fresh(self, name: str) -> Collection:
        self._definitions.pop(name, None)
        return self._remembered(await self._index.collection(name))

    def _remembered(self, collection: Collection) -> Collection:
        self._definitions[collection.name] = (collection, time.monotonic() + DEFINITION_AGE_S)
        return collection


def _result(image_id: str, answer: Begun | Unchanged | object, image: Prepared, *, is_live: bool) -> PutResult:
    if isinstance(answer, Unchanged):
        return PutResult(image_id, PutStatus.UNCHANGED, region_count=answer.region_count)
    if isinstance(answer, Begun) and is_live:
        status = PutStatus.UPDATED if answer.replaces else PutStatus.ADDED
        return PutResult(image_id, status, region_count=image.record.region_count)
    return PutResult(image_id, error=Aborted("somebody else is writing this picture; send it again"))


def _id_or_nothing(uri: str) -> str:
    """The id of a uri that may be no Unicode text."""
    return image_id_of(uri.encode(errors="replace").decode())
