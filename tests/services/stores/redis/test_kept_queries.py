"""Queries that are kept for their next pages: found by name, and bounded for each process."""

import pytest

from rpc.errors import Overloaded
from services.stores.redis.kept_queries import KeptQueries
from services.stores.redis.shards import RedisShards
from tests.services.stores.making import soon


async def test_a_process_keeps_a_bounded_number_of_bytes(redis_url: str) -> None:
    """What is kept is found by any process; what is too much is refused, and what was kept stays."""
    shards = RedisShards.open(redis_url)
    try:
        queries = KeptQueries(shards, max_bytes=10)
        await queries.keep("one", b"123456", soon())
        with pytest.raises(Overloaded):
            await queries.keep("two", b"12345", soon())
        await KeptQueries(shards).keep("two", b"12345", soon())
        assert [await queries.kept(name, soon()) for name in ("one", "two", "three")] == [b"123456", b"12345", None]
    finally:
        await shards.close()
