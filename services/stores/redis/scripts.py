"""The steps of the write protocol as Lua: each works on one shard, whose keys lie in one slot, and is atomic.

KEYS of every script: live, order, pending, dead, state, rebuild, changed. ARGV[1] is the generation.

    live     image_id -> "version region_count fingerprint record": what can be found; "@" -> the generation
    order    the image_ids of `live`, sorted
    pending  image_id -> "version region_count fingerprint record lease_ms token": rows are being written
    dead     image_id -> "tombstone,...": versions whose rows are to be deleted
    state    regions: the number of rows of the live versions; without_objects: how many of these stand for an image in which
             no object was found; seal and log: the tokens of a move to another encoder
    rebuild  the token of the process that fills the shard from Milvus
    changed  with a log, the image_ids that changed since it was begun

With a seal nothing new is begun: what is begun already ends as ever. See services/stores/moves.py.

A tombstone is "version:region_count" where the rows are all written, and "version:region_count:until_ms" where some may
still arrive: they are deleted again then. A region_count of 0 is a deletion: until then Milvus has a row that says so,
and at its end every row of the image up to that version is deleted, known or not.

A `live` without the generation, or with another, holds nothing of this collection: Redis lost it.
"""

import hashlib

QUARANTINE_S = 900
"""The longest time between the begin of a version and the arrival of its last row in Milvus."""


class Script:
    """A script, which Redis keeps under the SHA-1 of its text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha1 = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


COUNT_REGIONS = """
local function count_regions(state, entry, sign)
  redis.call('HINCRBY', state, 'regions', sign * tonumber(string.match(entry, '^%d+ (%d+) ')))
  if string.find(entry, '^%d+ %d+ %x+ {"lacks_objects":true,') then
    redis.call('HINCRBY', state, 'without_objects', sign)
  end
end
"""
"""Lua that counts the regions of a version that begins (1) or ceases (-1) to live."""

_FRAME = """
local live, order, pending, tombstones, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if redis.call('HGET', live, '@') ~= ARGV[1] then return redis.error_reply('LOST') end
-- The clock of Redis is the only one that counts: those of the writers need not agree.
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function parse_entry(text)
  if not text then return nil end
  local version, regions, fingerprint = string.match(text, '^(%d+) (%d+) (%x+) ')
  return {text = text, version = tonumber(version), regions = tonumber(regions), fingerprint = fingerprint}
end

local function live_entry(id) return parse_entry(redis.call('HGET', live, id)) end

local function pending_entry(id)
  local entry = parse_entry(redis.call('HGET', pending, id))
  if entry then
    local lease_ms, token = string.match(entry.text, ' (%d+) (%x+)$')
    entry.lease_ms, entry.token = tonumber(lease_ms), token
  end
  return entry
end

local function note_change(id)
  if redis.call('HEXISTS', state, 'log') == 1 then redis.call('SADD', KEYS[7], id) end
end

local function tombstones_of(id)
  local found = {}
  for text in string.gmatch(redis.call('HGET', tombstones, id) or '', '[^,]+') do
    local version, regions, until_ms = string.match(text, '^(%d+):(%d+):?(%d*)$')
    found[#found + 1] = {text = text, version = tonumber(version), regions = tonumber(regions),
      until_ms = tonumber(until_ms) or 0}
  end
  return found
end

local function set_tombstones(id, texts)
  if #texts > 0 then redis.call('HSET', tombstones, id, table.concat(texts, ','))
  else redis.call('HDEL', tombstones, id) end
end

local function add_tombstone(id, text)
  local others = redis.call('HGET', tombstones, id)
  redis.call('HSET', tombstones, id, others and (others .. ',' .. text) or text)
end

local function purgeable(id)
  local texts = {}
  for _, each in ipairs(tombstones_of(id)) do
    if each.until_ms <= now_ms then texts[#texts + 1] = each.text end
  end
  return table.concat(texts, ',')
end

-- Above every version that Redis knows, and at least the time: a Redis that lost everything uses no number twice.
local function next_version(id)
  local version = now_ms
  for _, each in ipairs({live_entry(id) or {}, pending_entry(id) or {}, unpack(tombstones_of(id))}) do
    version = math.max(version, (each.version or 0) + 1)
  end
  return version
end

-- All rows of a live version are in Milvus, so that one deletion gets them all and the tombstone needs no end.
local function remove_live(id)
  local entry = live_entry(id)
  if not entry then return end
  add_tombstone(id, string.format('%.0f:%.0f', entry.version, entry.regions))
  redis.call('HDEL', live, id)
  redis.call('ZREM', order, id)
  count_regions(state, entry.text, -1)
end

-- Two tombstones: the rows that are there are deleted at once, those that arrive late when the quarantine ends.
local function abort(id, version, regions)
  add_tombstone(id, string.format('%.0f:%.0f,%.0f:%.0f:%.0f',
    version, regions, version, regions, now_ms + quarantine_ms))
  local entry = pending_entry(id)
  if entry and entry.version == version then redis.call('HDEL', pending, id) end
end

local answers = {}
"""


def protocol_step(text: str) -> Script:
    """A script that has the frame above its own text."""
    return Script(f"local quarantine_ms = {1000 * QUARANTINE_S}\n{COUNT_REGIONS}{_FRAME}{text}")


# ARGV: generation, lease_ms, token, then (image_id, fingerprint, region_count, record, based_on) for each image;
# `based_on` is the live version that its content was made from, 0 for none, and empty where any will do.
# Answers {"unchanged", regions}, {"busy"}, {"sealed"} or {"begun", version, had}. A client that repeats a call whose
# answer got lost sends the same token and gets the same version.
BEGIN = protocol_step("""
for i = 4, #ARGV, 5 do
  local id, fingerprint, regions, record, based_on = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local old, waiting = live_entry(id), pending_entry(id)
  if waiting and waiting.token == ARGV[3] then
    answers[#answers + 1] = {'begun', waiting.version, old and 1 or 0}
  elseif waiting and waiting.lease_ms > now_ms then
    answers[#answers + 1] = {'busy'}
  elseif based_on ~= '' and tonumber(based_on) ~= (old and old.version or 0) then
    answers[#answers + 1] = {'busy'}
  elseif old and old.fingerprint == fingerprint then
    answers[#answers + 1] = {'unchanged', old.regions}
  elseif redis.call('HEXISTS', state, 'seal') == 1 then
    answers[#answers + 1] = {'sealed'}
  else
    if waiting then abort(id, waiting.version, waiting.regions) end
    local version = next_version(id)
    redis.call('HSET', pending, id, string.format('%.0f %s %s %s %.0f %s',
      version, regions, fingerprint, record, now_ms + tonumber(ARGV[2]), ARGV[3]))
    answers[#answers + 1] = {'begun', version, old and 1 or 0}
  end
end
return answers
""")

# ARGV: generation, then (image_id, version, region_count) for each image.
# Answers 1 where that version lives now, also when it was committed before, and 0 where it lost to another writer, a
# deletion or a rebuild: its rows are to be deleted then.
COMMIT = protocol_step("""
for i = 2, #ARGV, 3 do
  local id, version, regions = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local entry, old = pending_entry(id), live_entry(id)
  if entry and entry.version == version then
    remove_live(id)
    redis.call('HSET', live, id, (string.gsub(entry.text, ' %d+ %x+$', '')))
    redis.call('ZADD', order, 0, id)
    redis.call('HDEL', pending, id)
    count_regions(state, entry.text, 1)
    note_change(id)
    answers[#answers + 1] = 1
  elseif old and old.version == version then
    answers[#answers + 1] = 1
  else
    abort(id, version, regions)
    answers[#answers + 1] = 0
  end
end
return answers
""")

# ARGV: generation, then (image_id, version, region_count) for each image whose version is not to live.
# A COMMIT whose answer got lost may have made it live: then it stays.
ABORT = protocol_step("""
for i = 2, #ARGV, 3 do
  local id, version = ARGV[i], tonumber(ARGV[i + 1])
  local old = live_entry(id)
  if not (old and old.version == version) then abort(id, version, tonumber(ARGV[i + 2])) end
end
return answers
""")

# ARGV: generation, then (image_id, version) for each image: delete it up to this version, 0 for all that
# is known. From here on searches do not find it, and a write of an older version that runs cannot be committed.
# Answers {lived, version, tombstones} for each: whether it lived (1 or 0), the version up to which it is deleted, and
# the tombstones that can be purged now. A later deletion replaces the tombstone of an earlier one. With a seal no
# deletion of all that is known begins: it answers {-1, 0, ''}.
MARK_DELETED = protocol_step("""
local sealed = redis.call('HEXISTS', state, 'seal') == 1
local function mark(id, version)
  if sealed and version == 0 then return {-1, 0, ''} end
  local old, waiting = live_entry(id), pending_entry(id)
  if version == 0 then version = next_version(id) end
  local lived = old and old.version <= version
  if lived then
    remove_live(id)
    note_change(id)
  end
  if waiting and waiting.version <= version then abort(id, waiting.version, waiting.regions) end
  local texts = {}
  for _, each in ipairs(tombstones_of(id)) do
    if each.regions > 0 or each.version > version then texts[#texts + 1] = each.text end
  end
  texts[#texts + 1] = string.format('%.0f:0:%.0f', version, now_ms + quarantine_ms)
  set_tombstones(id, texts)
  return {lived and 1 or 0, version, purgeable(id)}
end
for i = 2, #ARGV, 2 do answers[#answers + 1] = mark(ARGV[i], tonumber(ARGV[i + 1])) end
return answers
""")

# ARGV: generation, then image_ids, none for all. Answers {image_id, tombstones} for each with rows that
# can be deleted now.
PURGEABLE = protocol_step("""
local ids = #ARGV > 1 and {unpack(ARGV, 2)} or redis.call('HKEYS', tombstones)
for _, id in ipairs(ids) do
  local texts = purgeable(id)
  if texts ~= '' then answers[#answers + 1] = {id, texts} end
end
return answers
""")

# ARGV: generation, then (image_id, tombstones) for each image whose rows are deleted. Tombstones that were
# added since stay.
REMOVE_TOMBSTONES = protocol_step("""
for i = 2, #ARGV, 2 do
  local removed, left = {}, {}
  for text in string.gmatch(ARGV[i + 1], '[^,]+') do removed[text] = true end
  for _, each in ipairs(tombstones_of(ARGV[i])) do
    if not removed[each.text] then left[#left + 1] = each.text end
  end
  set_tombstones(ARGV[i], left)
end
return answers
""")

# ARGV: generation. Answers {image_id, version, region_count} of each pending version whose lease expired.
EXPIRED_LEASES = protocol_step("""
for _, id in ipairs(redis.call('HKEYS', pending)) do
  local entry = pending_entry(id)
  if entry.lease_ms <= now_ms then answers[#answers + 1] = {id, entry.version, entry.regions} end
end
return answers
""")

# ARGV: generation. Answers the entries of all pending versions.
PENDING = protocol_step("return redis.call('HVALS', pending)")
