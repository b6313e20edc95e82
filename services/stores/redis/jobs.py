"""Jobs as Redis keeps them: what each of them is and has done, and which of them have not ended."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum

from rpc.deadline import Deadline
from services.stores.redis.locking import Locks
from services.stores.redis.scripts import Script
from services.stores.redis.shards import RedisShards

KEPT_S = 7 * 86_400
MAX_KEPT = 100  # that have ended

_ALL, _OPEN = "fovea:{jobs}:all", "fovea:{jobs}:open"

# KEYS: the lock, the job, the wish to cancel it. ARGV: token, job, kept_s. Answers "lost" where another process holds the
# lock, and then nothing is written; else "cancel" or "written".
WRITE = Script("""
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 'lost' end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
return redis.call('EXISTS', KEYS[3]) == 1 and 'cancel' or 'written'
""")

# KEYS: all jobs, those that have not ended. ARGV: how many to keep of those that have. Answers what was forgotten.
FORGET_OLDEST = Script("""
local ended = {}
for _, id in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, -1)) do
  if redis.call('SISMEMBER', KEYS[2], id) == 0 then ended[#ended + 1] = id end
end
local forgotten = {}
for i = tonumber(ARGV[1]) + 1, #ended do
  redis.call('ZREM', KEYS[1], ended[i])
  forgotten[#forgotten + 1] = ended[i]
end
return forgotten
""")


class Written(Enum):
    """What a process learns when it writes a job that it runs."""

    WRITTEN = b"written"
    CANCEL = b"cancel"
    LOST = b"lost"


class JobCatalog:
    """Jobs by id, as bytes; they are forgotten a week after they were written last."""

    def __init__(self, shards: RedisShards) -> None:
        self._shards = shards
        self._locks = Locks(shards, "job")

    async def add(self, job_id: str, data: bytes, time_s: float, deadline: Deadline) -> None:
        """Keep a new job, which has not ended."""
        await self._shards.run([("SET", _key(job_id, "state"), data, "EX", KEPT_S)], deadline)
        # In this order: what is listed can be read.
        await self._shards.run([("ZADD", _ALL, time_s, job_id), ("SADD", _OPEN, job_id)], deadline)
        (forgotten,) = await self._shards.run([(FORGET_OLDEST, 2, _ALL, _OPEN, MAX_KEPT)], deadline)
        await self._shards.run([("UNLINK", _key(each.decode(), "state")) for each in forgotten], deadline)

    async def read(self, job_id: str, deadline: Deadline) -> bytes | None:
        """A job, None where it is not known or forgotten."""
        (data,) = await self._shards.run([("GET", _key(job_id, "state"))], deadline)
        return data  # type: ignore[no-any-return]

    async def all(self, deadline: Deadline) -> list[bytes]:
        """All jobs, the newest first."""
        (ids,) = await self._shards.run([("ZREVRANGE", _ALL, 0, -1)], deadline)
        jobs = await self._shards.run([("GET", _key(each.decode(), "state")) for each in ids], deadline)
        return [job for job in jobs if job is not None]

    async def open_ids(self, deadline: Deadline) -> list[str]:
        """The ids of the jobs that have not ended, sorted."""
        (ids,) = await self._shards.run([("SMEMBERS", _OPEN)], deadline)
        return sorted(each.decode() for each in ids)

    async def close(self, job_id: str, deadline: Deadline) -> None:
        """Note that a job has ended."""
        await self._shards.run([("SREM", _OPEN, job_id)], deadline)

    async def ask_to_cancel(self, job_id: str, deadline: Deadline) -> None:
        """Note that a job is to be cancelled: the process that runs it learns of it when it writes it next."""
        await self._shards.run([("SET", _key(job_id, "cancel"), 1, "EX", KEPT_S)], deadline)

    async def is_running(self, job_id: str, deadline: Deadline) -> bool:
        """Whether a process runs the job, or died less than ten seconds ago."""
        return await self._locks.is_held(job_id, deadline)

    @asynccontextmanager
    async def hold(self, job_id: str) -> AsyncIterator[str]:
        """Run a job inside the block; yields the token to write it with. Aborted where another process runs it."""
        async with self._locks.hold(job_id) as token:
            yield token

    async def write(self, job_id: str, token: str, data: bytes, deadline: Deadline) -> Written:
        """Keep how far a job is, unless another process runs it by now."""
        keys = (_key(job_id, ""), _key(job_id, "state"), _key(job_id, "cancel"))
        (answer,) = await self._shards.run([(WRITE, len(keys), *keys, token, data, KEPT_S)], deadline)
        return Written(answer)


def _key(job_id: str, part: str) -> str:
    """The key of a part of a job; without one that of its lock."""
    return f"fovea:{{{job_id}}}:job" + (f":{part}" if part else "")
