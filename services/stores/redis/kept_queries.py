"""Queries that are too large for a page token, kept in Redis for a while for those who ask for the next page."""

import time
from collections import deque

from rpc.deadline import Deadline
from rpc.errors import Overloaded
from services.stores.redis.shards import RedisShards

KEPT_S = 600
# What one process has in Redis at a time: nothing else bounds what is paged.
MAX_KEPT_BYTES = 64 << 20


class KeptQueries:
    """Bytes by name, forgotten ten minutes after they were kept last."""

    def __init__(self, shards: RedisShards, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._shards = shards
        self._max_bytes = max_bytes
        self._bytes = 0
        self._sizes: deque[tuple[float, int]] = deque()  # what was kept, with the moment of its end

    async def keep(self, name: str, data: bytes, deadline: Deadline) -> None:
        """Keep a query; Overloaded where this process has too much there already."""
        now_s = time.monotonic()
        while self._sizes and self._sizes[0][0] <= now_s:
            self._bytes -= self._sizes.popleft()[1]
        if self._bytes + len(data) > self._max_bytes:
            raise Overloaded("too many large queries are kept for their next pages")
        self._bytes += len(data)
        self._sizes.append((now_s + KEPT_S, len(data)))
        await self._shards.run([("SET", _key(name), data, "EX", KEPT_S)], deadline)

    async def kept(self, name: str, deadline: Deadline) -> bytes | None:
        """The query, or None where it is forgotten."""
        (data,) = await self._shards.run([("GET", _key(name))], deadline)
        return data  # type: ignore[no-any-return]


def _key(name: str) -> str:
    return f"fovea:query:{name}"
