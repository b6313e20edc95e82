"""The only module that talks to Redis: a collection's 16 shards, scripts and commands on them in one round trip."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded, Unavailable
from services.stores.causes import StoreLog
from services.stores.records import Collection

SHARDS = "0123456789abcdef"  # by the first digit of the image_id
PARTS = ("live", "order", "pending", "dead", "state")
LOCK = "rebuild"
GENERATION = "@"  # the field of `live` that tells whose records these are

MAX_CONNECTIONS = 64
SOCKET_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 1.0

_AWAY = "Redis cannot be reached or cannot answer now; try again when it is up"

Command = tuple[Any, ...]


class CatalogLost(Exception):
    """Redis does not hold this collection: it has to be rebuilt from Milvus before anything is written."""

    def __str__(self) -> str:
        return "Redis does not hold the collection; it is rebuilt from Milvus when it is used next"


class RedisShards:
    """Commands to Redis; the keys of a shard share one slot of a Redis Cluster."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._log = StoreLog("Redis")

    @classmethod
    def open(cls, url: str) -> "RedisShards":
        """The Redis at `url`, which is asked nothing yet; Unavailable where it is not a URL of Redis."""
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=MAX_CONNECTIONS,
                timeout=SOCKET_TIMEOUT_S,
                socket_timeout=SOCKET_TIMEOUT_S,
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError as error:
            raise Unavailable(_AWAY) from error
        return cls(Redis.from_pool(pool))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def run(self, commands: Sequence[Command], deadline: Deadline) -> list[Any]:
        """Send commands in one round trip; the only place where errors of Redis are translated."""
        if not commands:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            async with asyncio.timeout(deadline.left_s()):
                answers = list(await pipeline.execute())
        except RedisError as error:
            if isinstance(error, ResponseError) and "LOST" in str(error):
                raise CatalogLost from error
            self._log.failed(error)
            raise Unavailable(_AWAY) from error
        except TimeoutError as error:
            self._log.failed(error)
            raise DeadlineExceeded(
                "Redis did not answer in time; allow more time, or check the Redis server"
            ) from error
        self._log.answered()
        return answers

    async def live(self, collection: Collection, image_ids: Iterable[str], deadline: Deadline) -> dict[str, bytes]:
        """The live entries of those of these pictures that have one; CatalogLost where Redis cannot know."""
        shards = by_shard(image_ids)
        commands = [("HMGET", key(collection, shard, "live"), GENERATION, *ids) for shard, ids in shards.items()]
        answers = await self.run(commands, deadline)
        check_generation(collection, (generation for generation, *_ in answers))
        return {
            image_id: entry
            for ids, (_, *entries) in zip(shards.values(), answers, strict=True)
            for image_id, entry in zip(ids, entries, strict=True)
            if entry is not None
        }

    async def on_shards(
        self, collection: Collection, script: str, arguments: Mapping[str, Sequence[Any]], deadline: Deadline
    ) -> dict[str, Any]:
        """Run a script on shards; its answers by shard."""
        commands: list[Command] = []
        for shard, more in arguments.items():
            keys = [key(collection, shard, part) for part in PARTS]
            commands.append(("EVAL", script, len(keys), *keys, collection.generation, *more))
        answers = await self.run(commands, deadline)
        return dict(zip(arguments, answers, strict=True))


def key(collection: Collection, shard: str, part: str) -> str:
    """The key of one part of a shard."""
    return shard_key(collection.name, shard, part)


def shard_key(name: str, shard: str, part: str) -> str:
    """The key of one part of a shard of the collection `name`."""
    return f"fovea:{{{name}:{shard}}}:{part}"


def by_shard(image_ids: Iterable[str]) -> dict[str, list[str]]:
    """Image_ids by the shard that has them."""
    shards: dict[str, list[str]] = defaultdict(list)
    for image_id in image_ids:
        shards[image_id[0]].append(image_id)
    return shards


def check_generation(collection: Collection, generations: Iterable[bytes | None]) -> None:
    """CatalogLost unless all shards hold this very collection."""
    if any(generation != collection.generation.encode() for generation in generations):
        raise CatalogLost
