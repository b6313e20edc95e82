"""A Redis Cluster of three primaries: images are written, found and repaired as on one server, also while slots move."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.crc import key_slot

from rpc.errors import FailedPrecondition, Unavailable
from services.stores.__main__ import fault_of
from services.stores.images import ImageStore
from services.stores.records import Collection, PutStatus, image_id_of
from services.stores.redis.catalog import RedisCatalog
from services.stores.redis.shards import SHARDS, RedisShards, key
from testbed.redis_servers import RedisClusterServers, redis_cluster
from tests.services.stores.making import a_collection, new_image, opened, put, soon, unit_embeddings, uris

EMBEDDINGS = unit_embeddings(64)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisClusterServers]:
    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture
async def store(milvus_lite_uri: str, cluster: RedisClusterServers) -> AsyncIterator[ImageStore]:
    async with opened(milvus_lite_uri, cluster.url) as store:
        yield store


@pytest.fixture
async def filled(store: ImageStore, name: str) -> AsyncIterator[Collection]:
    """A collection of 64 images."""
    collection = await store.create(a_collection(name))
    await put(store, name, *(new_image(f"u{n}", EMBEDDINGS[n], {"n": n}) for n in range(64)))
    yield collection
    await store.drop(name)


async def test_images_live_on_all_primaries(
    store: ImageStore, filled: Collection, cluster: RedisClusterServers
) -> None:
    """Writes, reads, counts, listings, updates and deletions work over all nodes, each of which has keys."""
    name = filled.name
    assert all(node.client.dbsize() > 0 for node in cluster.primaries)
    assert (await store.counts(name)).image_count == 64
    assert await uris(store, name, EMBEDDINGS[7], limit=1) == ["u7"]
    updated = new_image("u7", EMBEDDINGS[7], {"n": 700})
    assert await put(store, name, updated, new_image("u8", EMBEDDINGS[8], {"n": 8})) == [
        PutStatus.UPDATED,
        PutStatus.UNCHANGED,
    ]
    await store.delete(name, [image_id_of("u9")], soon())
    assert [record is not None for record in await store.lookup(name, ["u7", "u8", "u9"])] == [True, True, False]
    await store.ping()


async def test_every_script_stays_in_one_slot(filled: Collection) -> None:
    """The parts of a shard share a slot, and shards differ in theirs."""
    slots = [
        {key_slot(key(filled.store_name, shard, part).encode()) for part in ("live", "order", "changed")}
        for shard in SHARDS
    ]
    assert all(len(each) == 1 for each in slots)
    assert len(set.union(*slots)) == len(SHARDS)


async def test_a_primary_that_lost_its_keys_is_rebuilt(
    store: ImageStore, filled: Collection, cluster: RedisClusterServers
) -> None:
    """What one node lost is read from Milvus before anything is written."""
    cluster.primaries[1].client.flushall()
    assert await put(store, filled.name, new_image("late", EMBEDDINGS[0])) == [PutStatus.ADDED]
    assert (await store.counts(filled.name)).image_count == 65


async def test_scripts_that_nodes_forgot_are_sent_again(
    store: ImageStore, filled: Collection, cluster: RedisClusterServers
) -> None:
    """SCRIPT FLUSH on one node fails no call."""
    cluster.primaries[0].client.script_flush()
    assert (await store.counts(filled.name)).image_count == 64
    assert await put(store, filled.name, *(new_image(f"late{n}", EMBEDDINGS[n]) for n in range(16)))


async def test_slots_move_while_images_are_written(
    store: ImageStore, filled: Collection, cluster: RedisClusterServers
) -> None:
    """A shard that is handed to another primary key by key loses no write; none fails before or after."""
    name, ended = filled.name, asyncio.Event()

    async def write(writer: int) -> int:
        """How many images were written until the end."""
        number = 0
        while not ended.is_set():
            await put(store, name, new_image(f"w{writer}/{number}", EMBEDDINGS[number % 64]))
            number += 1
        return number

    writers = [asyncio.create_task(write(writer)) for writer in range(3)]
    for shard in SHARDS[:4]:
        slot = key_slot(key(name, shard, "live").encode())
        source = cluster.primary_of(key(name, shard, "live"))
        target = next(node for node in cluster.primaries if node is not source)
        await asyncio.to_thread(cluster.move_slot, slot, source, target)
    ended.set()
    counts = await asyncio.gather(*writers)
    assert (await store.counts(name)).image_count == 64 + sum(counts)
    for writer, count in enumerate(counts):
        assert None not in await store.lookup(name, [f"w{writer}/{number}" for number in range(count)])


async def test_after_the_death_of_a_primary_its_replica_serves(milvus_lite_uri: str, name: str) -> None:
    """Until then writes are refused as UNAVAILABLE; after that everything goes on by itself, with all records."""
    with redis_cluster(replicas=3) as cluster:
        async with opened(milvus_lite_uri, cluster.url) as store:
            await store.create(a_collection(name))
            await put(store, name, *(new_image(f"u{n}", EMBEDDINGS[n]) for n in range(64)))
            for node in cluster.primaries:
                node.client.wait(1, 5000)
            cluster.primaries[0].server.kill()
            assert await answers(store, name) == 64
            assert (
                await put(store, name, *(new_image(f"v{n}", EMBEDDINGS[n]) for n in range(16)))
                == [PutStatus.ADDED] * 16
            )
            await store.ping()
            await store.drop(name)


async def answers(store: ImageStore, name: str) -> int:
    """How many images there are, once Redis answers again."""
    async with asyncio.timeout(60):
        while True:
            try:
                return (await store.counts(name)).image_count
            except Unavailable:
                await asyncio.sleep(0.1)


async def test_a_node_that_evicts_is_named(cluster: RedisClusterServers) -> None:
    """One primary of three that may evict is enough to refuse."""
    catalog = RedisCatalog.open(cluster.url)
    cluster.primaries[2].client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(FailedPrecondition, match="noeviction"):
            await catalog.ping(soon())
    finally:
        cluster.primaries[2].client.config_set("maxmemory-policy", "noeviction")
        await catalog.close()


async def test_urls_of_another_kind_are_refused_with_what_to_write(
    cluster: RedisClusterServers, redis_url: str
) -> None:
    """A cluster behind a plain URL, one server behind a cluster's URL, a database that clusters do not have."""
    plain = f"redis://{cluster.primaries[0].address}/0"
    assert "write redis+cluster://" in await fault_of("redis", plain)
    assert "write redis://" in await fault_of("redis", redis_url.replace("redis://", "redis+cluster://"))
    assert "database" in await fault_of("redis", f"{cluster.url}/1")
    assert "unknown option colour" in await fault_of("redis", f"{cluster.url}?colour=red")
    assert "cannot be read" in await fault_of("redis", "redis+cluster://")
    assert "cannot be read" in await fault_of("redis", "redis+ring://127.0.0.1:1")
    assert "cannot be read" in await fault_of("redis", "redis://127.0.0.1:1,127.0.0.1:2")


async def test_one_node_of_several_is_enough_to_begin(cluster: RedisClusterServers) -> None:
    """Nodes of the URL that are away do not matter as long as one answers."""
    url = f"redis+cluster://127.0.0.1:1,{cluster.primaries[1].address}"
    shards = RedisShards.open(url)
    assert await shards.run([("EXISTS", key("c", shard, "live")) for shard in SHARDS], soon()) == [0] * 16
    await shards.close()
