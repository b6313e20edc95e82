"""Filling one shard of Redis from what Milvus holds, under a lock."""

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rpc.deadline import Deadline
from services.stores.records import Collection, ImageRecord, Version
from services.stores.redis.entries import encode_entry, format_tombstones
from services.stores.redis.scripts import COUNT_REGIONS, Script
from services.stores.redis.shards import RedisShards, script_call

LEASE_S = 30.0
BUSY_WAIT_S = 0.1
RELEASE_TIMEOUT_S = 1.0

# Rebuilding a shard, whose generation is written last: until then the steps of the protocol answer LOST.
# ARGV: generation, token, lease_ms. Answers "present" where there is nothing to do, "begun" where this
# token holds the lock and the shard is empty, or "busy".
REBUILD_BEGIN = Script("""
if redis.call('HGET', KEYS[1], '@') == ARGV[1] then return 'present' end
if not redis.call('SET', KEYS[6], ARGV[2], 'NX', 'PX', ARGV[3]) then return 'busy' end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[7])
return 'begun'
""")

# ARGV: generation, token, lease_ms, then (image_id, entry, tombstones) for each image; an empty entry does not live.
# LOST where the lease expired and another process may have begun.
REBUILD_ADD = Script(f"""{COUNT_REGIONS}
if redis.call('GET', KEYS[6]) ~= ARGV[2] then return redis.error_reply('LOST') end
redis.call('PEXPIRE', KEYS[6], ARGV[3])
for i = 4, #ARGV, 3 do
  if ARGV[i + 1] ~= '' then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    redis.call('ZADD', KEYS[2], 0, ARGV[i])
    count_regions(KEYS[5], ARGV[i + 1], 1)
  end
  if ARGV[i + 2] ~= '' then redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 2]) end
end
return 1
""")

# ARGV: generation, token. The rebuild failed: the next one need not wait for the lease.
REBUILD_RELEASE = Script("""
if redis.call('GET', KEYS[6]) == ARGV[2] then redis.call('DEL', KEYS[6]) end
return 1
""")

# ARGV: generation, token. The shard may be written again.
REBUILD_END = Script("""
if redis.call('GET', KEYS[6]) ~= ARGV[2] then return redis.error_reply('LOST') end
redis.call('HSET', KEYS[1], '@', ARGV[1])
redis.call('DEL', KEYS[6])
return 1
""")


@dataclass(frozen=True, slots=True)
class RebuiltImage:
    """What Milvus says of an image: its live version, if any, the versions to delete, and its last deletion, 0 for none."""

    image_id: str
    record: ImageRecord | None
    obsolete: tuple[Version, ...]
    deleted_to: int = 0


@dataclass
class ShardRebuild:
    """The rebuild of one shard by one process; the lock's lease is renewed with every batch."""

    shards: RedisShards
    collection: Collection
    shard: str
    deadline: Deadline
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    async def begin(self) -> bool:
        """Lock and empty the shard; False where it needs no rebuild. Waits while another process rebuilds it."""
        while True:
            answer = await self._run(REBUILD_BEGIN, round(LEASE_S * 1000))
            if answer != b"busy":
                return bool(answer == b"begun")
            await asyncio.sleep(min(BUSY_WAIT_S, self.deadline.left_s()))

    async def add(self, images: Iterable[RebuiltImage]) -> None:
        """Write what Milvus says of some images."""
        arguments: list[Any] = [round(LEASE_S * 1000)]
        for image in images:
            entry = encode_entry(image.record) if image.record else b""
            arguments += [image.image_id, entry, format_tombstones(image.obsolete, image.deleted_to)]
        await self._run(REBUILD_ADD, *arguments)

    async def end(self) -> None:
        """Open the shard for writes."""
        await self._run(REBUILD_END)

    async def release(self) -> None:
        """Leave a rebuild that failed to the next one."""
        self.deadline = Deadline.after(RELEASE_TIMEOUT_S)  # the rebuild's own may have passed
        await self._run(REBUILD_RELEASE)

    async def _run(self, script: Script, *arguments: Any) -> Any:
        call = script_call(self.collection, self.shard, script, self.token, *arguments)
        [answer] = await self.shards.run([call], self.deadline)
        return answer
