"""What survives: kill -9 of either store, a lost Redis, writers that die between any two steps."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from redis.asyncio import Redis

from rpc.deadline import Deadline
from rpc.errors import Aborted, AlreadyExists, DeadlineExceeded, ServiceError, Unavailable
from services.stores.drafts import draft_of
from services.stores.finding import DEGRADED
from services.stores.images import ImageStore
from services.stores.milvus.connection import MilvusConnection
from services.stores.milvus.names import StoredNames
from services.stores.milvus.rows import RowSearch, rows_of
from services.stores.milvus.scanning import scan
from services.stores.milvus.store import RowStore
from services.stores.records import Collection, CollectionMode, Counts, Embeddings, PutStatus, image_id_of
from services.stores.recovery import Recovery
from services.stores.redis.catalog import Begun, RedisCatalog
from services.stores.redis.locking import Locks
from services.stores.redis.rebuilding import ShardRebuild
from services.stores.redis.shards import RedisShards
from testbed.servers import (
    STANDALONE_START_TIMEOUT_S,
    EmbeddedServer,
    embedded_milvus,
    standalone_milvus,
)
from tests.services.stores.making import a_collection, find, new_image, opened, put, soon, unit_embeddings, uris

EMBEDDINGS = unit_embeddings(30)


async def fill(store: ImageStore, name: str) -> None:
    """Thirty images: one updated, one deleted."""
    await put(store, name, *(new_image(f"p/{i}", embedding) for i, embedding in enumerate(EMBEDDINGS[:29])))
    await put(store, name, new_image("p/3", EMBEDDINGS[29], {"new": True}, content="new"))
    await store.delete(name, [image_id_of("p/4")], soon())


async def assert_filled(store: ImageStore, name: str) -> None:
    """All of `fill` is there, exactly once, and nothing else."""
    assert await store.counts(name) == Counts(28, 28)
    found = (await find(store, name, EMBEDDINGS, limit=100)).hits
    assert sorted(hit.record.uri for hit in found) == sorted(f"p/{i}" for i in range(29) if i != 4)
    assert all(hit.score == pytest.approx(1.0, abs=1e-5) for hit in found)
    assert (await store.image(name, image_id_of("p/3"))).record.metadata == {"new": True}


async def answers(store: ImageStore) -> None:
    """Return when both stores answer again."""
    while True:
        try:
            await store.ping(Deadline.after(2))
        except ServiceError:
            await asyncio.sleep(0.05)
        else:
            return


async def outlive(milvus: EmbeddedServer, store: ImageStore, name: str) -> None:
    """Fill a store, kill its Milvus, start it again: everything is there, and more can be written."""
    await store.create(a_collection(name))
    await fill(store, name)
    milvus.kill()
    with pytest.raises(Unavailable, match="Milvus"):
        await find(store, name, EMBEDDINGS[0])
    milvus.start(STANDALONE_START_TIMEOUT_S)
    await until_found(store, name)

    await assert_filled(store, name)
    assert await put(store, name, new_image("late", EMBEDDINGS[4])) == [PutStatus.ADDED]
    await store.drop(name)


async def until_found(store: ImageStore, name: str) -> None:
    """Return when a search is answered again: the real server lets calls in long before that."""
    while True:
        try:
            await find(store, name, EMBEDDINGS[0])
        except (Unavailable, DeadlineExceeded):
            await asyncio.sleep(0.2)
        else:
            return


async def test_acknowledged_images_survive_the_death_of_redis(
    fragile: ImageStore, redis: EmbeddedServer, name: str
) -> None:
    """Redis killed right after an acknowledgement still knows all of it."""
    await fill(fragile, name)
    redis.kill()
    redis.start()
    await answers(fragile)

    await assert_filled(fragile, name)


async def test_search_goes_on_without_redis(fragile: ImageStore, redis: EmbeddedServer, name: str) -> None:
    """With Redis away searches are answered from the rows and say so; writes are refused, and work again later."""
    await fill(fragile, name)
    redis.kill()

    found = await find(fragile, name, EMBEDDINGS[29], limit=1)
    assert [hit.record.uri for hit in found.hits] == ["p/3"]
    assert found.hits[0].record.metadata == {"new": True}
    assert found.warnings == (DEGRADED,)
    with pytest.raises(Unavailable, match="Redis"):
        await put(fragile, name, new_image("late", EMBEDDINGS[0]))
    redis.start()
    await answers(fragile)
    await assert_filled(fragile, name)
    assert await put(fragile, name, new_image("p/1", EMBEDDINGS[1])) == [PutStatus.UNCHANGED]


async def test_a_lost_redis_is_rebuilt_from_milvus(fragile: ImageStore, redis: EmbeddedServer, name: str) -> None:
    """An empty Redis costs nothing: searches go on with a warning, the first write rebuilds it."""
    await fill(fragile, name)
    async with Redis.from_url(redis.url) as client:
        await client.flushall()

    found = await find(fragile, name, EMBEDDINGS[29], limit=1)
    assert ([hit.record.uri for hit in found.hits], found.warnings) == (["p/3"], (DEGRADED,))
    assert await put(fragile, name, new_image("p/1", EMBEDDINGS[1])) == [PutStatus.UNCHANGED]
    await assert_filled(fragile, name)
    assert (await find(fragile, name, EMBEDDINGS[0])).warnings == ()


async def test_a_rebuild_counts_images_without_objects(fragile: ImageStore, redis: EmbeddedServer, name: str) -> None:
    """Milvus knows too which images have no object."""
    name = f"{name}_objects"
    await fragile.create(a_collection(name, CollectionMode.OBJECTS))
    await put(fragile, name, *(new_image(f"p/{number}", EMBEDDINGS[number]) for number in range(5)))
    async with Redis.from_url(redis.url) as client:
        await client.flushall()

    assert await fragile.counts(name) == Counts(5, 0, without_objects_count=5)
    await fragile.drop(name)


async def test_one_lost_shard_is_noticed(fragile: ImageStore, redis: EmbeddedServer, name: str) -> None:
    """A part of Redis that is lost is rebuilt like the whole."""
    await fill(fragile, name)
    async with Redis.from_url(redis.url) as client:
        for key in await client.keys(f"fovea:{{{name}:{image_id_of('p/1')[0]}}}:*"):
            await client.delete(key)

    await fragile.sweep(name)
    await assert_filled(fragile, name)


async def test_two_processes_may_rebuild_at_once(
    fragile: ImageStore, redis: EmbeddedServer, milvus_uri: str, name: str
) -> None:
    """One rebuilds, the other waits, and both go on."""
    await fill(fragile, name)
    async with Redis.from_url(redis.url) as client:
        await client.flushall()

    async with opened(milvus_uri, redis.url) as other:
        assert set(await asyncio.gather(fragile.counts(name), other.counts(name))) == {Counts(28, 28)}
        await assert_filled(other, name)


@pytest.mark.parametrize("has_rows", [False, True])
async def test_the_sweep_finishes_what_a_crashed_writer_began(
    fragile: ImageStore, redis: EmbeddedServer, milvus_uri: str, name: str, *, has_rows: bool
) -> None:
    """A version whose rows are all there lives after the sweep; one without does not, and the old one stays."""
    old, new = EMBEDDINGS[:2]
    await put(fragile, name, new_image("p", old, content="old"))
    await begin_and_die(milvus_uri, redis.url, await fragile.get(name), new, has_rows=has_rows)

    assert (await find(fragile, name, old)).hits[0].score == pytest.approx(1.0, abs=1e-5)
    await until_swept(fragile, name, redis.url)
    hits = (await find(fragile, name, new if has_rows else old)).hits
    assert [(hit.record.uri, round(hit.score, 4)) for hit in hits] == [("p", 1.0)]
    assert await fragile.counts(name) == Counts(1, 1)
    row_store = await RowStore.open(milvus_uri)
    batches = scan(row_store.query, await fragile.get(name), fields=(), deadline=soon(), consistency="Strong")
    rows = [row async for batch in batches for row in batch]
    await row_store.close()
    assert len(rows) == 1


async def test_a_crashed_writer_blocks_others_briefly(
    fragile: ImageStore, redis: EmbeddedServer, milvus_uri: str, name: str
) -> None:
    """While a lease runs others have to wait; when it has run out they write."""
    await begin_and_die(milvus_uri, redis.url, await fragile.get(name), EMBEDDINGS[0], has_rows=True, lease_s=2)

    with pytest.raises(Aborted):
        await put(fragile, name, new_image("p", EMBEDDINGS[1]))
    statuses: list[PutStatus | None] = []
    while not statuses:
        try:
            statuses = await put(fragile, name, new_image("p", EMBEDDINGS[1]))
        except Aborted:
            await asyncio.sleep(0.1)
    assert statuses == [PutStatus.ADDED]
    assert await uris(fragile, name, EMBEDDINGS[:2]) == ["p"]


async def test_deletes_survive_a_lost_redis(fragile: ImageStore, redis: EmbeddedServer, name: str) -> None:
    """What was deleted, after updates too, does not come back when Redis is rebuilt."""
    for content in ("1", "2", "3"):
        await put(fragile, name, new_image("p", EMBEDDINGS[0], content=content))
    assert (await fragile.delete(name, [image_id_of("p")], soon())).image_count == 1
    async with Redis.from_url(redis.url) as client:
        await client.flushall()

    assert await fragile.counts(name) == Counts(0, 0)
    assert await uris(fragile, name, EMBEDDINGS[0]) == []


async def test_acknowledged_images_survive_the_death_of_milvus_lite(tmp_path: Path, redis_url: str, name: str) -> None:
    """Milvus Lite killed right after an acknowledgement comes back with all of it, and the same store goes on."""
    lite = embedded_milvus(tmp_path)
    lite.start()
    try:
        async with opened(lite.url, redis_url) as store:
            await outlive(lite, store, name)
    finally:
        lite.kill()


@pytest.mark.standalone
async def test_acknowledged_images_survive_the_death_of_milvus(redis_url: str, name: str) -> None:
    """The real server killed right after an acknowledgement comes back with all of it, and the same store goes on."""
    with standalone_milvus() as milvus:
        milvus.start(STANDALONE_START_TIMEOUT_S)
        async with opened(milvus.url, redis_url) as store:
            await outlive(milvus, store, name)


async def test_milvus_away_is_said_at_once(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Opening without Milvus is UNAVAILABLE with a sentence, well before any deadline."""
    caplog.set_level(logging.CRITICAL)
    async with asyncio.timeout(15):
        with pytest.raises(Unavailable, match="Milvus"):
            await ImageStore.open("http://127.0.0.1:1", redis_url)


async def begin_and_die(
    milvus_uri: str,
    redis_url: str,
    collection: Collection,
    embedding: Embeddings,
    *,
    has_rows: bool,
    lease_s: float = 0.05,
) -> None:
    """A writer that ends before it makes its version of the image "p" live."""
    row_store, catalog = await RowStore.open(milvus_uri), RedisCatalog.open(redis_url)
    image = new_image("p", embedding, content="new")
    draft = draft_of(image, collection, 2.0)
    begun = await catalog.begin(collection, [draft], token="abc", lease_s=lease_s, deadline=soon())  # noqa: S106
    [answer] = begun.values()
    assert isinstance(answer, Begun)
    if has_rows:
        await row_store.write(collection.name, rows_of(replace(draft.record, version=answer.version), image), soon())
    await row_store.close()
    await catalog.close()


async def until_swept(store: ImageStore, name: str, redis_url: str) -> None:
    """Sweep until no version of the image "p" is pending."""
    key = f"fovea:{{{name}:{image_id_of('p')[0]}}}:pending"
    async with Redis.from_url(redis_url) as client:
        while await client.hlen(key):
            await store.sweep(name)


@pytest.mark.parametrize("step", [1, 2, 3, 4])
async def test_a_creation_that_fails_leaves_nothing(
    store: ImageStore, name: str, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Whichever call to either store fails, neither knows the collection afterwards, and the next attempt creates it."""
    # The renewal of a lock, on a slow machine, is not one of the steps.
    monkeypatch.setattr(Locks, "_renew", lambda *_: asyncio.Event().wait())
    for owner, method in ((MilvusConnection, "call"), (RedisShards, "run")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, method, failing_at(step, getattr(owner, method)))
            with pytest.raises(Unavailable):
                await store.create(a_collection(name))
        assert name not in {collection.name for collection in await store.collections()}

    created = await store.create(a_collection(name))
    assert await put(store, created.name, new_image("a", EMBEDDINGS[0])) == [PutStatus.ADDED]
    await store.drop(name)


async def test_a_creation_whose_caller_left_leaves_nothing(
    store: ImageStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A creation that is cancelled between the stores is undone."""
    reached = asyncio.Event()

    async def never(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(Recovery, "start", never)
        creation = asyncio.create_task(store.create(a_collection(name)))
        await reached.wait()
        creation.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creation
    assert name not in {collection.name for collection in await store.collections()}


async def test_a_creation_that_crashed_is_completed(store: ImageStore, milvus_uri: str, name: str) -> None:
    """What a crash left in Milvus alone is whole after a second attempt with the same definition, and refused to another."""
    row_store = await RowStore.open(milvus_uri)
    left = await row_store.create(replace(a_collection(name), generation="before the crash"))
    await row_store.close()

    with pytest.raises(AlreadyExists):
        await store.create(replace(a_collection(name), encoder="another"))
    assert await store.create(a_collection(name)) == left
    assert await store.counts(name) == Counts(0, 0)
    assert await put(store, name, new_image("a", EMBEDDINGS[0])) == [PutStatus.ADDED]
    with pytest.raises(AlreadyExists):
        await store.create(a_collection(name))
    await store.drop(name)


async def test_of_two_creators_at_once_one_creates(milvus_uri: str, name: str) -> None:
    """Who finds the name free and comes second learns that it is taken."""
    row_store = await RowStore.open(milvus_uri)
    placed, all_looked = row_store._placed, asyncio.Barrier(2)

    async def look_together(collection: Collection) -> Collection:
        found = await placed(collection)
        await all_looked.wait()
        return found

    row_store._placed = look_together  # type: ignore[method-assign]
    creations = (row_store.create(replace(a_collection(name), generation=f"{number}")) for number in range(2))
    ends = await asyncio.gather(*creations, return_exceptions=True)

    [created] = [end for end in ends if isinstance(end, Collection)]
    assert [type(end) for end in ends if end is not created] == [AlreadyExists], ends
    assert await row_store.collection(name) == created
    await row_store.drop(StoredNames(name, (name,)))
    await row_store.close()


async def test_a_collection_without_its_index_is_indexed_by_a_search(milvus_uri: str, name: str) -> None:
    """A search amidst a creation, or after one that crashed, finds nothing and does not take Milvus for away."""
    row_store = await RowStore.open(milvus_uri)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RowStore, "_load", AsyncMock())
        created = await row_store.create(a_collection(name))

    found = await row_store.nearest(created, EMBEDDINGS[:1], RowSearch(expression="", limit=1), soon())

    assert found == [[]]
    await row_store.drop(StoredNames(name, (name,)))
    await row_store.close()


async def test_a_creation_amidst_a_drop_may_be_tried_again(
    store: ImageStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a drop takes from Redis while a collection is created is not a fault, and the next attempt creates it."""
    begin = ShardRebuild.begin

    async def begin_and_lose(self: ShardRebuild) -> bool:
        begun = await begin(self)
        await store._catalog.drop(name, soon())
        return begun

    with monkeypatch.context() as patched:
        patched.setattr(ShardRebuild, "begin", begin_and_lose)
        with pytest.raises(Unavailable, match="try again"):
            await store.create(a_collection(name))
    await store.create(a_collection(name))
    await store.drop(name)


def failing_at(step: int, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A method whose call number `step` fails, and no other."""
    steps = itertools.count(1)

    async def failing(*args: Any, **options: Any) -> Any:
        if next(steps) == step:
            raise Unavailable("failed on purpose")
        return await call(*args, **options)

    return failing
