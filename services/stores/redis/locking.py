"""Locks in Redis: one holder at a time, whose lock expires when its process dies."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rpc.deadline import Deadline
from rpc.errors import Aborted, ServiceError
from rpc.tasks import end
from services.stores.redis.scripts import Script
from services.stores.redis.shards import RedisShards

LOCK_S = 10.0
WAIT_S = 0.25
STEP_TIMEOUT_S = 30.0

# KEYS: the lock. ARGV: token, lease_ms. Answers 0 where this token holds the lock now, else for how many milliseconds
# another one holds it.
LOCK = Script("""
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return math.max(1, redis.call('PTTL', KEYS[1])) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 0
""")

# KEYS: the lock. ARGV: token.
UNLOCK = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
""")

_logger = logging.getLogger(__name__)


class Locks:
    """The locks of one kind, by the name of a collection."""

    def __init__(self, shards: RedisShards, kind: str) -> None:
        self._shards = shards
        self._kind = kind

    @asynccontextmanager
    async def hold(self, name: str, *, wait_s: float = 0.0) -> AsyncIterator[str]:
        """Hold the lock inside the block; yields its token.

        The lock of a process that died is waited for, for LOCK_S at most; one that is renewed for `wait_s`, then Aborted.
        """
        token = secrets.token_hex(8)
        await self._wait(name, token, until_s=time.monotonic() + wait_s)
        renewing = asyncio.create_task(self._renew(name, token), name=f"{self._kind} lock of {name}")
        try:
            yield token
        finally:
            await end(renewing)
            # Shielded, because it has to run also where the caller left; after a crash the lock expires.
            await asyncio.shield(asyncio.create_task(self._release(name, token)))

    async def is_held(self, name: str, deadline: Deadline) -> bool:
        """Whether anybody holds the lock."""
        return (await self._shards.run([("EXISTS", self._key(name))], deadline)) == [1]

    async def _wait(self, name: str, token: str, *, until_s: float) -> None:
        shortest_s = LOCK_S
        while held_s := await self._take(name, token):
            # Only a process that lives makes the time longer.
            if held_s > shortest_s and time.monotonic() >= until_s:
                raise Aborted(f"another call changes the collection {name}; wait until that is done")
            shortest_s = min(shortest_s, held_s)
            await asyncio.sleep(WAIT_S)

    async def _take(self, name: str, token: str) -> float:
        """Take or renew the lock for LOCK_S seconds; for how many another one holds it, 0 where it is ours."""
        call = (LOCK, 1, self._key(name), token, round(LOCK_S * 1000))
        [held_ms] = await self._shards.run([call], Deadline.after(STEP_TIMEOUT_S))
        return float(held_ms) / 1000

    async def _renew(self, name: str, token: str) -> None:
        while True:
            await asyncio.sleep(LOCK_S / 4)
            try:
                await self._take(name, token)
            except ServiceError as error:
                _logger.warning("%s: its lock was not renewed: %s", name, error)

    async def _release(self, name: str, token: str) -> None:
        try:
            await self._shards.run([(UNLOCK, 1, self._key(name), token)], Deadline.after(STEP_TIMEOUT_S))
        except ServiceError as error:
            _logger.warning("%s: its lock was not released, and expires: %s", name, error)

    def _key(self, name: str) -> str:
        return f"fovea:{{{name}}}:{self._kind}"
