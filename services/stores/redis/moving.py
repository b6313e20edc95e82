"""The steps of a move to another encoder in Redis: seals, the log of changes, and adopted versions."""

from collections.abc import Mapping
from typing import Any

from rpc.deadline import Deadline
from rpc.errors import Aborted
from services.stores.records import Collection, ImageRecord
from services.stores.redis.entries import encode_entry
from services.stores.redis.scripts import PENDING, protocol_step
from services.stores.redis.shards import SHARDS, RedisShards, by_shard, script_call

# ARGV: generation, "seal" or "log", the tokens that may be replaced (one, or "*" for any), the new one, empty for none.
# Answers the token that was held, empty for none. A log begins and ends without changes.
SET_TOKEN = protocol_step("""
local held = redis.call('HGET', state, ARGV[2]) or ''
if ARGV[3] ~= '*' and ARGV[3] ~= held then return held end
if ARGV[4] == '' then redis.call('HDEL', state, ARGV[2])
else redis.call('HSET', state, ARGV[2], ARGV[4]) end
if ARGV[2] == 'log' then redis.call('DEL', KEYS[7]) end
return held
""")

# ARGV: generation, token, count. Answers up to `count` image_ids that changed, and forgets them; nil where the log is not
# that of the token.
TAKE_CHANGES = protocol_step("""
if redis.call('HGET', state, 'log') ~= ARGV[2] then return false end
return redis.call('SPOP', KEYS[7], ARGV[3])
""")

# ARGV: generation, token, then (image_id, entry) for each image: exactly this version lives from here on, none where the
# entry is empty. Only the run that sealed the collection may write so; answers 0 to another.
ADOPT = protocol_step("""
if redis.call('HGET', state, 'seal') ~= ARGV[2] then return 0 end
for i = 3, #ARGV, 2 do
  local id, text = ARGV[i], ARGV[i + 1]
  local old, new = live_entry(id), parse_entry(text ~= '' and text or nil)
  if not (old and new and old.version == new.version) then
    remove_live(id)
    if new then
      local kept = {}
      for _, each in ipairs(tombstones_of(id)) do
        -- A deletion of what was before it stays: Milvus has a row that says so until its tombstone is removed.
        local ends = each.regions == 0 and each.version > new.version
        if each.version ~= new.version and not ends then kept[#kept + 1] = each.text end
      end
      set_tombstones(id, kept)
      redis.call('HSET', live, id, text)
      redis.call('ZADD', order, 0, id)
      redis.call('HINCRBY', state, 'regions', new.regions)
    end
  end
end
return 1
""")


class MoveCatalog:
    """What a move does in Redis; a shard that Redis lost raises CatalogLost."""

    def __init__(self, shards: RedisShards) -> None:
        self._shards = shards

    async def set_token(
        self, collection: Collection, kind: str, token: str, deadline: Deadline, *, instead_of: str = "*"
    ) -> set[str]:
        """Set or, with an empty token, remove the seal or the log of all shards; the tokens that were held."""
        calls = [script_call(collection, shard, SET_TOKEN, kind, instead_of, token) for shard in SHARDS]
        return {held.decode() for held in await self._shards.run(calls, deadline)}

    async def tokens(self, collection: Collection, kind: str, deadline: Deadline) -> set[str]:
        """The tokens of the seals or logs of all shards, empty for none."""
        # Nothing is held under this token, so that nothing is replaced.
        return await self.set_token(collection, kind, "", deadline, instead_of="?")

    async def has_pending(self, collection: Collection, deadline: Deadline) -> bool:
        """Whether a write is under way."""
        calls = [script_call(collection, shard, PENDING) for shard in SHARDS]
        return any(await self._shards.run(calls, deadline))

    async def take_changes(self, collection: Collection, token: str, count: int, deadline: Deadline) -> set[str]:
        """About `count` image_ids that changed since the log was begun, none where there are no more; each is answered once."""
        calls = [script_call(collection, shard, TAKE_CHANGES, token, -(-count // len(SHARDS))) for shard in SHARDS]
        answers = await self._shards.run(calls, deadline)
        if None in answers:
            raise Aborted(
                "Redis lost the changes to the collection while it was moved; call again, and the move goes on"
            )
        return {image_id.decode() for answer in answers for image_id in answer}

    async def adopt(
        self, collection: Collection, token: str, records: Mapping[str, ImageRecord | None], deadline: Deadline
    ) -> None:
        """Let exactly these versions live, or none of an image; Aborted where another run took over."""
        calls = []
        for shard, image_ids in by_shard(records).items():
            arguments: list[Any] = []
            for image_id in image_ids:
                record = records[image_id]
                arguments += [image_id, b"" if record is None else encode_entry(record)]
            calls.append(script_call(collection, shard, ADOPT, token, *arguments))
        if not all(await self._shards.run(calls, deadline)):
            raise Aborted("another call moves the collection now")
