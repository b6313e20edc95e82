"""What a scrub asks and mends in Redis, see services/stores/scrubbing.py."""

from collections.abc import Collection as Items
from dataclasses import dataclass
from itertools import chain

from rpc.deadline import Deadline
from services.stores.records import Collection, ImageRecord
from services.stores.redis.entries import Tombstones, decode_entry, encode_entry
from services.stores.redis.scripts import protocol_step
from services.stores.redis.shards import SHARDS, RedisShards, by_shard, script_call

# ARGV: generation, image_ids. Answers {live entry, pending version, tombstones} for each, empty and 0 for none.
STATES = protocol_step("""
for i = 2, #ARGV do
  local id, waiting = ARGV[i], pending_entry(ARGV[i])
  answers[#answers + 1] = {redis.call('HGET', live, id) or '', waiting and waiting.version or 0,
    redis.call('HGET', tombstones, id) or ''}
end
return answers
""")

# ARGV: generation, image_id, the live version that was seen (0 for none), a new live entry or an empty text to leave it,
# and tombstones to add. Answers 0 and changes nothing where the image is written, or another version lives by now, or the
# collection is sealed.
MEND = protocol_step("""
local id, text, old = ARGV[2], ARGV[4], live_entry(ARGV[2])
if redis.call('HEXISTS', state, 'seal') == 1 or pending_entry(id) then return 0 end
if (old and old.version or 0) ~= tonumber(ARGV[3]) then return 0 end
if text ~= '' then
  redis.call('HSET', live, id, text)
  redis.call('ZADD', order, 0, id)
  redis.call('HINCRBY', state, 'regions', parse_entry(text).regions - (old and old.regions or 0))
  note_change(id)
end
if ARGV[5] ~= '' then add_tombstone(id, ARGV[5]) end
return 1
""")

# ARGV: generation, 1 to repair. Answers how many ids `order` lacks or has too many, and whether the number of regions is
# wrong, all at one moment.
TALLY = protocol_step("""
local repair, wrong, regions = ARGV[2] == '1', 0, 0
local entries = redis.call('HGETALL', live)
for i = 1, #entries, 2 do
  if entries[i] ~= '@' then
    regions = regions + parse_entry(entries[i + 1]).regions
    if not redis.call('ZSCORE', order, entries[i]) then
      wrong = wrong + 1
      if repair then redis.call('ZADD', order, 0, entries[i]) end
    end
  end
end
for _, id in ipairs(redis.call('ZRANGE', order, 0, -1)) do
  if redis.call('HEXISTS', live, id) == 0 then
    wrong = wrong + 1
    if repair then redis.call('ZREM', order, id) end
  end
end
if regions ~= tonumber(redis.call('HGET', state, 'regions') or '0') then
  wrong = wrong + 1
  if repair then redis.call('HSET', state, 'regions', regions) end
end
return wrong
""")


@dataclass(frozen=True, slots=True)
class ImageState:
    """What Redis knows of an image; `live` is the entry of the live version, empty for none."""

    image_id: str
    live: bytes = b""
    pending_version: int = 0
    tombstones: str = ""

    @property
    def live_version(self) -> int:
        """The version that lives, 0 for none."""
        return int(self.live.split(b" ", 1)[0]) if self.live else 0

    @property
    def record(self) -> ImageRecord | None:
        """The record of the live version; None where there is none, or it cannot be read."""
        try:
            return decode_entry(self.image_id, self.live) if self.live else None
        except (ValueError, TypeError, AttributeError):
            return None

    @property
    def known_tombstones(self) -> Tombstones:
        """The tombstones, those in quarantine included."""
        return Tombstones(self.image_id, self.tombstones)


class ScrubCatalog:
    """What a scrub does in Redis; a shard that Redis lost raises CatalogLost."""

    def __init__(self, shards: RedisShards) -> None:
        self._shards = shards

    async def states(self, collection: Collection, image_ids: Items[str], deadline: Deadline) -> dict[str, ImageState]:
        """What Redis knows of each of these images."""
        shards = by_shard(image_ids)
        calls = [script_call(collection, shard, STATES, *ids) for shard, ids in shards.items()]
        answers = await self._shards.run(calls, deadline)
        found = zip(chain.from_iterable(shards.values()), chain.from_iterable(answers), strict=True)
        return {
            image_id: ImageState(image_id, live, pending, tombstones.decode())
            for image_id, (live, pending, tombstones) in found
        }

    async def mend(
        self,
        collection: Collection,
        seen: ImageState,
        deadline: Deadline,
        *,
        record: ImageRecord | None = None,
        tombstones: str = "",
    ) -> bool:
        """Let a record live, add tombstones, or both; False where the image is not as it was seen any more."""
        entry = b"" if record is None else encode_entry(record)
        arguments = (seen.image_id, seen.live_version, entry, tombstones)
        call = script_call(collection, seen.image_id[0], MEND, *arguments)
        return (await self._shards.run([call], deadline)) == [1]

    async def tally(self, collection: Collection, deadline: Deadline, *, repair: bool) -> dict[str, int]:
        """By shard how much of its order and of its count of regions is wrong, for the shards where anything is."""
        calls = [script_call(collection, shard, TALLY, int(repair)) for shard in SHARDS]
        wrong = zip(SHARDS, await self._shards.run(calls, deadline), strict=True)
        return {shard: count for shard, count in wrong if count}
