"""The only module that talks to Redis: commands and scripts on a collection's 16 shards in one round trip."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded, Unavailable
from services.stores.causes import StoreLog
from services.stores.records import Collection
from services.stores.redis.scripts import Script

SHARDS = "0123456789abcdef"  # by the first digit of the image_id
PARTS = ("live", "order", "pending", "dead", "state", "rebuild", "changed")

MAX_CONNECTIONS = 64
SOCKET_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 1.0

_AWAY = "Redis cannot be reached or cannot answer now; try again when it is up"

Command = tuple[Any, ...]
"""A command of Redis; or a Script, the number of its keys, keys and arguments."""


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

    async def run(self, commands: list[Command], deadline: Deadline) -> list[Any]:
        """Send commands in one round trip; the only place where errors of Redis are translated."""
        if not commands:
            return []
        try:
            async with asyncio.timeout(deadline.left_s()):
                answers = await self._pipeline(commands).execute(raise_on_error=False)
                if any(isinstance(answer, NoScriptError) for answer in answers):
                    answers = await self._load_scripts(commands, answers)
        except RedisError as error:
            answers = [error]
        except TimeoutError as error:
            self._log.failed(error)
            late = "Redis did not answer in time; allow more time, or check the Redis server"
            raise DeadlineExceeded(late) from error
        for answer in answers:
            if isinstance(answer, ResponseError) and "LOST" in str(answer):
                raise CatalogLost from answer
            if isinstance(answer, RedisError):
                self._log.failed(answer)
                raise Unavailable(_AWAY) from answer
        self._log.answered()
        return answers

    async def _load_scripts(self, commands: list[Command], answers: list[Any]) -> list[Any]:
        """The answers, also of the scripts that Redis did not know: it forgets them at a restart and on SCRIPT FLUSH.

        EVAL runs a script and keeps it; unlike SCRIPT LOAD it has keys, by which a proxy finds the right server.
        """
        unknown = [call for call, answer in zip(commands, answers, strict=True) if isinstance(answer, NoScriptError)]
        by_text = [("EVAL", script.text, *arguments) for script, *arguments in unknown]
        loaded = iter(await self._pipeline(by_text).execute(raise_on_error=False))
        return [next(loaded) if isinstance(answer, NoScriptError) else answer for answer in answers]

    def _pipeline(self, commands: Iterable[Command]) -> Pipeline:
        pipeline = self._redis.pipeline(transaction=False)
        for name, *arguments in commands:
            by_hash = ("EVALSHA", name.sha1) if isinstance(name, Script) else (name,)
            pipeline.execute_command(*by_hash, *arguments)
        return pipeline


def script_call(collection: Collection, shard: str, script: Script, *arguments: Any) -> Command:
    """A command that runs a script on one shard, with the generation that the shard has to be of as first argument."""
    keys = [key(collection.store_name, shard, part) for part in PARTS]
    return (script, len(keys), *keys, collection.generation, *arguments)


def key(name: str, shard: str, part: str) -> str:
    """The key of one part of a shard of the collection stored as `name`; what is in braces decides the slot."""
    return f"fovea:{{{name}:{shard}}}:{part}"


def by_shard(image_ids: Iterable[str]) -> dict[str, list[str]]:
    """Image_ids by the shard that has them."""
    shards: dict[str, list[str]] = defaultdict(list)
    for image_id in image_ids:
        shards[image_id[0]].append(image_id)
    return shards
