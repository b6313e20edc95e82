"""The steps of the write protocol as Lua: each works on one shard, whose keys lie in one slot, and all at once.

KEYS of every script: live, order, pending, dead, state. ARGV[1] is always the generation, ARGV[2] the quarantine in ms.

    live     image_id -> "version region_count fingerprint record": what can be found; "@" -> the generation
    order    the image_ids of `live`, sorted
    pending  image_id -> "version region_count fingerprint record lease_ms token": rows are being written
    dead     image_id -> "tombstone,...": rows that are to be deleted
    state    regions: the number of rows of the live versions

A tombstone is "version:region_count" where the rows are all written, and "version:region_count:until_ms" where some may
still arrive: they are deleted again then. A region_count of 0 is a deletion: until then Milvus has a row that says so,
and at its end every row of the image up to that version is deleted, known or not.

A `live` without the generation, or with another, holds nothing of this collection: Redis lost it.
"""

QUARANTINE_S = 900.0
"""The longest time between the begin of a version and the arrival of its last row in Milvus."""

_FRAME = """
local live, order, pending, dead, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if redis.call('HGET', live, '@') ~= ARGV[1] then return redis.error_reply('LOST') end
local quarantine_ms = tonumber(ARGV[2])
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function entry_of(text)
  if not text then return nil end
  local version, regions, fingerprint = string.match(text, '^(%d+) (%d+) (%x+) ')
  return {version = tonumber(version), regions = tonumber(regions), fingerprint = fingerprint}
end

local function lease_of(text)
  local lease, token = string.match(text, ' (%d+) (%x+)$')
  return tonumber(lease), token
end

local function tombstones_of(id)
  return string.gmatch(redis.call('HGET', dead, id) or '', '(%d+):(%d+):?(%d*)')
end

local function set_tombstones(id, texts)
  if #texts > 0 then redis.call('HSET', dead, id, table.concat(texts, ','))
  else redis.call('HDEL', dead, id) end
end

local function add_tombstone(id, text)
  local others = redis.call('HGET', dead, id)
  redis.call('HSET', dead, id, others and (others .. ',' .. text) or text)
end

local function due(id)
  local texts = {}
  for version, regions, until_ms in tombstones_of(id) do
    if until_ms == '' then texts[#texts + 1] = version .. ':' .. regions
    elseif tonumber(until_ms) <= now_ms then texts[#texts + 1] = version .. ':' .. regions .. ':' .. until_ms end
  end
  return table.concat(texts, ',')
end

local function highest(id)
  local version = 0
  for dead_version in tombstones_of(id) do version = math.max(version, tonumber(dead_version)) end
  return version
end

local function retire(id)
  local entry = entry_of(redis.call('HGET', live, id))
  if not entry then return nil end
  add_tombstone(id, string.format('%.0f:%.0f', entry.version, entry.regions))
  redis.call('HDEL', live, id)
  redis.call('ZREM', order, id)
  redis.call('HINCRBY', state, 'regions', -entry.regions)
  return entry
end

local function abandon(id, version, regions)
  add_tombstone(id, string.format('%.0f:%.0f,%.0f:%.0f:%.0f',
    version, regions, version, regions, now_ms + quarantine_ms))
  local waiting = entry_of(redis.call('HGET', pending, id))
  if waiting and waiting.version == version then redis.call('HDEL', pending, id) end
end

local answers = {}
"""

# ARGV: generation, quarantine_ms, lease_ms, token, then (image_id, fingerprint, region_count, record, based_on) for each
# image; `based_on` is the live version that its content was made from, 0 for none, and empty where any will do.
# Answers "unchanged regions", "busy" or "begun version had".
BEGIN = (
    _FRAME
    + """
for i = 5, #ARGV, 5 do
  local id, fingerprint, regions, record, based_on = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local old = entry_of(redis.call('HGET', live, id))
  local text = redis.call('HGET', pending, id)
  local waiting = entry_of(text)
  local lease, token = 0, ''
  if text then lease, token = lease_of(text) end
  if waiting and token == ARGV[4] then
    answers[#answers + 1] = string.format('begun %.0f %d', waiting.version, old and 1 or 0)
  elseif waiting and lease > now_ms then
    answers[#answers + 1] = 'busy'
  elseif based_on ~= '' and tonumber(based_on) ~= (old and old.version or 0) then
    answers[#answers + 1] = 'busy'
  elseif old and old.fingerprint == fingerprint then
    answers[#answers + 1] = string.format('unchanged %.0f', old.regions)
  else
    if waiting then abandon(id, waiting.version, waiting.regions) end
    local version = math.max(now_ms, old and old.version + 1 or 0, highest(id) + 1)
    redis.call('HSET', pending, id, string.format('%.0f %s %s %s %.0f %s',
      version, regions, fingerprint, record, now_ms + tonumber(ARGV[3]), ARGV[4]))
    answers[#answers + 1] = string.format('begun %.0f %d', version, old and 1 or 0)
  end
end
return answers
"""
)

# ARGV: generation, quarantine_ms, then (image_id, version, region_count) for each image.
# Answers 1 where that version lives now, 0 where it lost: its rows are to be deleted then.
COMMIT = (
    _FRAME
    + """
for i = 3, #ARGV, 3 do
  local id, version, regions = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local text = redis.call('HGET', pending, id)
  local entry = entry_of(text)
  local old = entry_of(redis.call('HGET', live, id))
  if entry and entry.version == version then
    retire(id)
    redis.call('HSET', live, id, (string.gsub(text, ' %d+ %x+$', '')))
    redis.call('ZADD', order, 0, id)
    redis.call('HDEL', pending, id)
    redis.call('HINCRBY', state, 'regions', entry.regions)
    answers[#answers + 1] = 1
  elseif old and old.version == version then
    answers[#answers + 1] = 1
  else
    abandon(id, version, regions)
    answers[#answers + 1] = 0
  end
end
return answers
"""
)

# ARGV: generation, quarantine_ms, then (image_id, version, region_count) for each image whose rows are not to live.
ABANDON = (
    _FRAME
    + """
for i = 3, #ARGV, 3 do
  local id, version = ARGV[i], tonumber(ARGV[i + 1])
  local old = entry_of(redis.call('HGET', live, id))
  if not (old and old.version == version) then abandon(id, version, tonumber(ARGV[i + 2])) end
end
return answers
"""
)

# ARGV: generation, quarantine_ms, then (image_id, version) for each image: delete it up to this version, 0 for all that
# is known. From here on searches do not find it.
# Answers, for each, "lived version tombstones": whether it lived ("1" or "0"), the version up to which it is deleted,
# and what can be deleted now.
RETIRE = (
    _FRAME
    + """
for i = 3, #ARGV, 2 do
  local id, version = ARGV[i], tonumber(ARGV[i + 1])
  local old = entry_of(redis.call('HGET', live, id))
  local waiting = entry_of(redis.call('HGET', pending, id))
  if version == 0 then
    version = math.max(now_ms, highest(id) + 1, old and old.version + 1 or 0, waiting and waiting.version + 1 or 0)
  end
  local lived = old and old.version <= version
  if lived then retire(id) end
  if waiting and waiting.version <= version then abandon(id, waiting.version, waiting.regions) end
  local texts = {}
  for dead_version, regions, until_ms in tombstones_of(id) do
    if regions ~= '0' or tonumber(dead_version) > version then
      texts[#texts + 1] = dead_version .. ':' .. regions .. (until_ms ~= '' and ':' .. until_ms or '')
    end
  end
  texts[#texts + 1] = string.format('%.0f:0:%.0f', version, now_ms + quarantine_ms)
  set_tombstones(id, texts)
  answers[#answers + 1] = string.format('%d %.0f %s', lived and 1 or 0, version, due(id))
end
return answers
"""
)

# ARGV: generation, quarantine_ms, then image_ids, none for all. Answers "image_id tombstones" for each with rows that
# can be deleted now.
DUE = (
    _FRAME
    + """
local ids = #ARGV > 2 and {unpack(ARGV, 3)} or redis.call('HKEYS', dead)
for _, id in ipairs(ids) do
  local texts = due(id)
  if texts ~= '' then answers[#answers + 1] = id .. ' ' .. texts end
end
return answers
"""
)

# ARGV: generation, quarantine_ms, then (image_id, tombstones) for each image whose dead rows are deleted.
BURY = (
    _FRAME
    + """
for i = 3, #ARGV, 2 do
  local buried, left = {}, {}
  for text in string.gmatch(ARGV[i + 1], '[^,]+') do buried[text] = true end
  for text in string.gmatch(redis.call('HGET', dead, ARGV[i]) or '', '[^,]+') do
    if not buried[text] then left[#left + 1] = text end
  end
  set_tombstones(ARGV[i], left)
end
return answers
"""
)

# ARGV: generation, quarantine_ms. Answers "image_id version region_count" of each pending version whose lease ran out.
OVERDUE = (
    _FRAME
    + """
local entries = redis.call('HGETALL', pending)
for i = 1, #entries, 2 do
  if lease_of(entries[i + 1]) <= now_ms then
    local entry = entry_of(entries[i + 1])
    answers[#answers + 1] = string.format('%s %.0f %.0f', entries[i], entry.version, entry.regions)
  end
end
return answers
"""
)

# ARGV: generation, quarantine_ms. Answers the entries of all pending versions.
PENDING = _FRAME + "return redis.call('HVALS', pending)"

# Rebuilding a shard. KEYS as above and the rebuild's lock; ARGV: token, lease_ms, generation.
# Answers "whole" when there is nothing to do, "begun" when this token holds the lock and the shard is empty, or "busy".
REBUILD_BEGIN = """
if redis.call('HGET', KEYS[1], '@') == ARGV[3] then return 'whole' end
if not redis.call('SET', KEYS[6], ARGV[1], 'NX', 'PX', ARGV[2]) then return 'busy' end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5])
return 'begun'
"""

# ARGV: token, lease_ms, then (image_id, entry, region_count, dead versions) for each picture; an empty entry is none.
REBUILD_ADD = """
if redis.call('GET', KEYS[6]) ~= ARGV[1] then return redis.error_reply('LOST') end
redis.call('PEXPIRE', KEYS[6], ARGV[2])
for i = 3, #ARGV, 4 do
  if ARGV[i + 1] ~= '' then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    redis.call('ZADD', KEYS[2], 0, ARGV[i])
    redis.call('HINCRBY', KEYS[5], 'regions', ARGV[i + 2])
  end
  if ARGV[i + 3] ~= '' then redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 3]) end
end
return 1
"""

# ARGV: token. The rebuild failed: the next one need not wait for the lease.
REBUILD_RELEASE = """
if redis.call('GET', KEYS[6]) == ARGV[1] then redis.call('DEL', KEYS[6]) end
return 1
"""

# ARGV: token, generation. The shard may be written again.
REBUILD_END = """
if redis.call('GET', KEYS[6]) ~= ARGV[1] then return redis.error_reply('LOST') end
redis.call('HSET', KEYS[1], '@', ARGV[2])
redis.call('DEL', KEYS[6])
return 1
"""
