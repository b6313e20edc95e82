"""Scripts are loaded once, and again where Redis forgot them."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from services.stores.redis.scripts import Script
from services.stores.redis.shards import SHARDS, RedisShards, script_call
from testbed.servers import EmbeddedServer
from tests.services.stores.making import a_collection, soon

ECHO = Script("return {KEYS[1], ARGV[2]}")
COLLECTION = a_collection("c")


@pytest.fixture
async def shards(redis: EmbeddedServer) -> AsyncIterator[RedisShards]:
    shards = RedisShards.open(redis.url)
    yield shards
    await shards.close()


async def echoed(shards: RedisShards) -> None:
    """A script on all shards and a command amidst them are answered, in order."""
    calls = [script_call(COLLECTION, shard, ECHO, number) for number, shard in enumerate(SHARDS)]
    answers = await shards.run([*calls[:5], ("ECHO", "amidst"), *calls[5:]], soon())

    assert answers.pop(5) == b"amidst"
    assert answers == [[f"fovea:{{c:{shard}}}:live".encode(), f"{n}".encode()] for n, shard in enumerate(SHARDS)]


async def calls_of(client: Redis) -> dict[str, int]:
    """How often each command was run since the last look."""
    stats = await client.info("commandstats")
    await client.config_resetstat()
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


async def test_a_script_is_sent_by_its_hash(shards: RedisShards, redis: EmbeddedServer) -> None:
    """Its text goes over the wire once; after that a call is one round trip without it."""
    async with Redis.from_url(redis.url) as client:
        await echoed(shards)
        assert (await calls_of(client))["eval"] == len(SHARDS)
        for _ in range(3):
            await echoed(shards)
        calls = await calls_of(client)
    assert calls["evalsha"] == 3 * len(SHARDS)
    assert not {"eval", "script", "script|load", "script|exists"} & calls.keys()


async def test_scripts_that_redis_forgot_are_sent_again(shards: RedisShards, redis: EmbeddedServer) -> None:
    """A SCRIPT FLUSH and a restart cost one more round trip, and no call."""
    await echoed(shards)
    async with Redis.from_url(redis.url) as client:
        await client.script_flush()
    await echoed(shards)
    redis.kill()
    redis.start()
    await echoed(shards)
