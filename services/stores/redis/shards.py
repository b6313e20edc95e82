"""The only module that talks to Redis: commands and scripts on a collection's 16 shards in one round trip."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from redis.exceptions import AuthenticationError, NoScriptError, RedisError, ResponseError, TryAgainError

from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded, Unavailable
from services.stores.causes import StoreLog
from services.stores.records import Collection
from services.stores.redis.clients import MAX_CONNECTIONS, MOVED, RedisClient, Words, open_client
from services.stores.redis.scripts import Script
from services.stores.tracing import redis_span

SHARDS = "0123456789abcdef"  # by the first digit of the image_id
PARTS = ("live", "order", "pending", "dead", "state", "rebuild", "changed")

# Where another server may answer soon for one that does not, as in a failover.
BACKOFF_S = (0.05, 0.2, 0.5)

_AWAY = "Redis cannot be reached or cannot answer now; try again when it is up"

Command = tuple[Any, ...]
"""A command of Redis; or a Script, the number of its keys, keys and arguments."""

_T = TypeVar("_T")


class CatalogLost(Exception):
    """Redis does not hold this collection: it has to be rebuilt from Milvus before anything is written."""

    def __str__(self) -> str:
        return "Redis does not hold the collection; it is rebuilt from Milvus when it is used next"


class RedisShards:
    """Commands to Redis; the keys of a shard share one slot of a Redis Cluster."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._permits = asyncio.Semaphore(MAX_CONNECTIONS)
        self._log = StoreLog("Redis")

    @classmethod
    def open(cls, url: str) -> "RedisShards":
        """The Redis at `url`, which is asked nothing yet; Unavailable where it is not a URL of Redis."""
        try:
            return cls(open_client(url))
        except ValueError as error:
            raise Unavailable(_AWAY) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def memory(self, deadline: Deadline) -> list[Mapping[str, Any]]:
        """INFO memory of every server that keys are written to."""
        return await self._ask(self._client.memory, deadline)

    async def run(self, commands: list[Command], deadline: Deadline) -> list[Any]:
        """Send commands in one round trip; every command of ours may be repeated."""
        if not commands:
            return []
        with redis_span(commands):
            answers = await self._ask(partial(self._answers, commands), deadline)
        for answer in answers:
            if isinstance(answer, ResponseError) and "LOST" in str(answer):
                raise CatalogLost from answer
            if isinstance(answer, RedisError):
                self._log.failed(answer)
                raise Unavailable(_AWAY) from answer
        self._log.answered()
        return answers

    async def _ask(self, ask: Callable[[], Awaitable[_T]], deadline: Deadline) -> _T:
        """The only place where errors of Redis are translated."""
        try:
            async with asyncio.timeout(deadline.left_s()), self._permits:
                return await ask()
        except RedisError as error:
            self._log.failed(error)
            raise Unavailable(_AWAY) from error
        except TimeoutError as error:
            self._log.failed(error)
            late = "Redis did not answer in time; allow more time, or check the Redis server"
            raise DeadlineExceeded(late) from error

    async def _answers(self, commands: list[Command]) -> list[Any]:
        """The answers; what failed because a server is gone or a slot moved is sent again, if that may help."""
        answers: list[Any] = await self._send(commands)
        for backoff_s in BACKOFF_S if self._client.moves else ():
            failed = [number for number, answer in enumerate(answers) if _may_pass(answer)]
            if not failed:
                break
            await asyncio.sleep(backoff_s)
            for number, answer in zip(failed, await self._send([commands[each] for each in failed]), strict=True):
                answers[number] = answer
        return answers

    async def _send(self, commands: list[Command]) -> list[Any]:
        """The answers, errors among them, also of scripts that Redis did not know.

        It forgets them at a restart and on SCRIPT FLUSH. EVAL runs a script and keeps it; unlike SCRIPT LOAD it has
        keys, by which a cluster or a proxy finds the right server.
        """
        try:
            answers = await self._client.send([_words(command) for command in commands])
            unknown = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if unknown:
                by_text = [_words(commands[number], by_text=True) for number in unknown]
                for number, answer in zip(unknown, await self._client.send(by_text), strict=True):
                    answers[number] = answer
        except RedisError as error:
            return [error] * len(commands)
        return answers


def _words(command: Command, *, by_text: bool = False) -> Words:
    name, *arguments = command
    if not isinstance(name, Script):
        return command
    return ("EVAL", name.text, *arguments) if by_text else ("EVALSHA", name.sha1, *arguments)


def _may_pass(answer: Any) -> bool:
    """Whether another try may succeed where another server takes over, or a slot has moved."""
    return isinstance(answer, (*MOVED, TryAgainError)) and not isinstance(answer, AuthenticationError)


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
