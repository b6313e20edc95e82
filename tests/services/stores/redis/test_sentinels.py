"""A primary that Sentinels name: it may change, and everything goes on."""

import asyncio
from collections.abc import Iterator

import pytest

from rpc.errors import Unavailable
from services.stores.__main__ import fault_of
from services.stores.images import ImageStore
from services.stores.records import ImageRecord, PutStatus
from services.stores.scrubbing import Finding
from testbed.redis_servers import SentinelServers, redis_sentinel, wait_until
from tests.services.stores.making import a_collection, new_image, opened, put, unit_embeddings

EMBEDDINGS = unit_embeddings(64)


@pytest.fixture
def sentinel() -> Iterator[SentinelServers]:
    with redis_sentinel() as servers:
        yield servers


async def put_when_up(store: ImageStore, name: str, uri: str) -> None:
    """Put an image, as soon as there is a primary."""
    async with asyncio.timeout(60):
        while True:
            try:
                assert await put(store, name, new_image(uri, EMBEDDINGS[0])) == [PutStatus.ADDED]
            except Unavailable:
                await asyncio.sleep(0.1)
            else:
                return


async def test_writes_go_on_after_failovers(sentinel: SentinelServers, milvus_lite_uri: str, name: str) -> None:
    """The old primary may live on as a replica, or die. What it took last and did not pass on, a scrub finds in Milvus."""
    async with opened(milvus_lite_uri, sentinel.url) as store:
        await store.create(a_collection(name))
        await put(store, name, *(new_image(f"u{n}", EMBEDDINGS[n]) for n in range(64)))
        sentinel.primary.client.wait(1, 5000)

        sentinel.sentinel.run("SENTINEL FAILOVER", "fovea")
        wait_until(lambda: sentinel.primary_port() == sentinel.replica.port)
        await put_when_up(store, name, "after a switch")
        wait_until(lambda: sentinel.primary.client.info("replication").get("master_link_status") == "up")
        sentinel.replica.client.wait(1, 5000)

        sentinel.replica.server.kill()
        wait_until(lambda: sentinel.primary_port() == sentinel.primary.port)
        await put_when_up(store, name, "after a death")
        await store.ping()

        async def never(record: ImageRecord) -> str:
            """No image has to be embedded again."""
            return f"{record.uri} was to be embedded"

        found = [each async for each in store.scrub.run(name, embed_again=never) if isinstance(each, Finding)]
        assert all(each.repaired for each in found), found
        assert (await store.counts(name)).image_count == 66
        await store.drop(name)


async def test_urls_of_another_kind_are_refused_with_what_to_write(sentinel: SentinelServers) -> None:
    """An unknown name, a missing one, no Sentinel at the address, and a Sentinel behind a plain URL."""
    address = sentinel.sentinel.address
    assert "no primary of that name" in await fault_of("redis", f"redis+sentinel://{address}/another")
    assert await fault_of("redis", f"redis+sentinel://127.0.0.1:1,{address}/fovea") == ""
    assert "cannot be read" in await fault_of("redis", f"redis+sentinel://{address}")
    assert "cannot be reached" in await fault_of("redis", "redis+sentinel://127.0.0.1:1/fovea")
    assert "not a Sentinel" in await fault_of("redis", f"redis+sentinel://{sentinel.primary.address}/fovea")
    assert "write redis+sentinel://" in await fault_of("redis", f"redis://{address}/0")
