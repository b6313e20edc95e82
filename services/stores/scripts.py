"""The steps of the write protocol as Lua: each works on one shard, whose keys lie in one slot, and all at once.

KEYS of every script: live, order, pending, dead, state. ARGV[1] is always the generation.

    live     image_id -> "version region_count fingerprint record": what can be found; "@" -> the generation
    order    the image_ids of `live`, sorted
    pending  image_id -> "version region_count fingerprint record lease_ms token": rows are being written
    dead     image_id -> "version:region_count,...": rows that are to be deleted
    state    regions: the number of rows of the live versions

A `live` without the generation, or with another, holds nothing of this collection: Redis lost it.
"""

_FRAME = """
local live, order, pending, dead, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if redis.call('HGET', live, '@') ~= ARGV[1] then return redis.error_reply('LOST') end
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

local function bury_later(id, entry)
  local others = redis.call('HGET', dead, id)
  local this = string.format('%.0f:%.0f', entry.version, entry.regions)
  redis.call('HSET', dead, id, others and (others .. ',' .. this) or this)
end

local function retire(id)
  local entry = entry_of(redis.call('HGET', live, id))
  if not entry then return nil end
  bury_later(id, entry)
  redis.call('HDEL', live, id)
  redis.call('ZREM', order, id)
  redis.call('HINCRBY', state, 'regions', -entry.regions)
  return entry
end

local function abandon(id, text)
  bury_later(id, entry_of(text))
  redis.call('HDEL', pending, id)
end

local answers = {}
"""

# ARGV: generation, lease_ms, token, then (image_id, fingerprint, region_count, record) for each picture.
# Answers "unchanged regions", "busy" or "begun version had".
BEGIN = (
    _FRAME
    + """
for i = 4, #ARGV, 4 do
  local id, fingerprint, regions, record = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local old = entry_of(redis.call('HGET', live, id))
  local text = redis.call('HGET', pending, id)
  local waiting = entry_of(text)
  local lease, token = 0, ''
  if text then lease, token = lease_of(text) end
  if waiting and token == ARGV[3] then
    answers[#answers + 1] = string.format('begun %.0f %d', waiting.version, old and 1 or 0)
  elseif waiting and lease > now_ms then
    answers[#answers + 1] = 'busy'
  elseif old and old.fingerprint == fingerprint then
    answers[#answers + 1] = string.format('unchanged %.0f', old.regions)
  else
    local version = math.max(now_ms, old and old.version + 1 or 0, waiting and waiting.version + 1 or 0)
    if waiting then abandon(id, text) end
    redis.call('HSET', pending, id, string.format('%.0f %s %s %s %.0f %s',
      version, regions, fingerprint, record, now_ms + tonumber(ARGV[2]), ARGV[3]))
    answers[#answers + 1] = string.format('begun %.0f %d', version, old and 1 or 0)
  end
end
return answers
"""
)

# ARGV: generation, then (image_id, version) for each picture. Answers 1 where that version lives now, 0 where it lost.
COMMIT = (
    _FRAME
    + """
for i = 2, #ARGV, 2 do
  local id, version = ARGV[i], tonumber(ARGV[i + 1])
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
  else
    answers[#answers + 1] = old and old.version == version and 1 or 0
  end
end
return answers
"""
)

# ARGV: generation, then (image_id, version) for each picture whose rows are not to live.
ABANDON = (
    _FRAME
    + """
for i = 2, #ARGV, 2 do
  local text = redis.call('HGET', pending, ARGV[i])
  if text and entry_of(text).version == tonumber(ARGV[i + 1]) then abandon(ARGV[i], text) end
end
return answers
"""
)

# ARGV: generation, then image_ids. From here on searches do not find them.
# Answers, for each, whether it lived ("1" or "0"), a space, and its dead versions.
RETIRE = (
    _FRAME
    + """
for i = 2, #ARGV do
  local id = ARGV[i]
  local entry = retire(id)
  local text = redis.call('HGET', pending, id)
  if text and lease_of(text) <= now_ms then abandon(id, text) end
  answers[#answers + 1] = (entry and '1 ' or '0 ') .. (redis.call('HGET', dead, id) or '')
end
return answers
"""
)

# ARGV: generation, then (image_id, "version:region_count,...") for each picture whose dead rows are deleted.
BURY = (
    _FRAME
    + """
for i = 2, #ARGV, 2 do
  local buried, left = {}, {}
  for version in string.gmatch(ARGV[i + 1], '[^,]+') do buried[version] = true end
  for version in string.gmatch(redis.call('HGET', dead, ARGV[i]) or '', '[^,]+') do
    if not buried[version] then left[#left + 1] = version end
  end
  if #left > 0 then redis.call('HSET', dead, ARGV[i], table.concat(left, ','))
  else redis.call('HDEL', dead, ARGV[i]) end
end
return answers
"""
)

# ARGV: generation. Answers "image_id version region_count" of each pending version whose lease ran out.
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

# ARGV: token, generation. The shard may be written again.
REBUILD_END = """
if redis.call('GET', KEYS[6]) ~= ARGV[1] then return redis.error_reply('LOST') end
redis.call('HSET', KEYS[1], '@', ARGV[2])
redis.call('DEL', KEYS[6])
return 1
"""
