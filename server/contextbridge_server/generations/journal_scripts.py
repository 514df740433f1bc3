"""What is done to journals in the store, each in one step: the scripts of `stored_journals.py`.

Each begins with BEGINNING, which says what all of them take.
"""

from ..store.interface import WITHOUT_ROOM, Script

BEGINNING = """
local prefix, me = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function key(id, part) return prefix .. id .. ':' .. part end
local function status_of(id)
  local status = redis.call('HGET', key(id, 'state'), 'status')
  if status == 'running' and redis.call('EXISTS', key(id, 'alive')) == 0 then
    status = 'abandoned'
    redis.call('HSET', key(id, 'state'), 'status', status, 'ended', now)
  end
  return status
end
local function is_mine(id)
  local owner = redis.call('HGET', key(id, 'state'), 'owner')
  return owner == me and redis.call('HGET', key(id, 'state'), 'status') == 'running'
end
local function is_named(id) return redis.call('HGET', key(id, 'state'), 'named') == '1' end
local function unfind(id)
  for _, name in ipairs(KEYS) do
    if redis.call('GET', name) == id then redis.call('DEL', name) end
  end
end
local function unlink(id)
  unfind(id)
  return redis.call('UNLINK', key(id, 'state'), key(id, 'events'), key(id, 'whole'),
    key(id, 'alive'), key(id, 'readers'))
end
"""
"""KEYS: current, next. ARGV: the prefix of the lookup key's keys, the process. The script makes the
keys of a generation, since `current` names it; they lie in the slot of the KEYS."""

FINDING = """
local function describe(id)
  local status = status_of(id)
  if not status then return false end
  local state = redis.call('HMGET', key(id, 'state'),
    'owner', 'begun', 'ended', 'failure', 'saved')
  local whole = redis.call('GET', key(id, 'whole'))
  return {id, status, state[1], state[2], state[3], state[4], state[5], whole, now}
end
local function name(id, life)
  if redis.call('EXISTS', key(id, 'state')) == 0 then return end
  redis.call('HSET', key(id, 'state'), 'named', 1)
  for _, part in ipairs({'state', 'whole'}) do
    redis.call('PEXPIRE', key(id, part), life, 'GT')
  end
end
local function find(max_age)
  for _, place in ipairs(KEYS) do
    local id = redis.call('GET', place)
    local status = id and status_of(id)
    if status == 'running' then return id end
    if status == 'complete' then
      local ended = redis.call('HGET', key(id, 'state'), 'ended')
      if ended + max_age > now then return id end
    end
  end
  return false
end
"""

MAKING = """
local function begin(id, alive, life, named)
  redis.call('HSET', key(id, 'state'),
    'v', 1, 'status', 'running', 'owner', me, 'begun', now, 'saved', 0, 'named', named)
  redis.call('PEXPIRE', key(id, 'state'), life)
  redis.call('SET', key(id, 'alive'), '', 'PX', alive)
end
"""

FIND = Script(
    WITHOUT_ROOM
    + BEGINNING
    + FINDING
    + """
local found = find(ARGV[4])
if found and ARGV[5] ~= '' then name(found, ARGV[5]) end
return found and describe(found)
"""
)
"""ARGV: '', most age, least life of what a request id names ('' for no request id)."""

FIND_OR_BEGIN = Script(
    BEGINNING
    + FINDING
    + MAKING
    + """
local id, max_age, named_life, alive, life, refresh = unpack(ARGV, 3)
if refresh == '0' then
  local found = find(max_age)
  if found and named_life ~= '' then name(found, named_life) end
  if found then return describe(found) end
end
begin(id, alive, life, named_life == '' and 0 or 1)
local current = redis.call('GET', KEYS[1])
local place = KEYS[1]
-- What is there is served to others until the new one is complete.
if current and status_of(current) == 'complete' then place = KEYS[2] end
if refresh == '0' or not redis.call('GET', place) then redis.call('SET', place, id, 'PX', life) end
return {id}
"""
)
"""ARGV: a new id, most age, least life of what a request id names ('' for no request id), lives of
`alive` and of the rest, whether it is to be new. What is there, or the new id alone."""

START = Script(
    BEGINNING
    + MAKING
    + """
local id, alive, life, pointer_life, digest, lookup, outcome = unpack(ARGV, 3)
local pointer = redis.call('HMGET', KEYS[3], 'digest', 'lookup', 'id', 'outcome')
if pointer[1] then return pointer end
if alive ~= '' then begin(id, alive, life, 1) end
redis.call('HSET', KEYS[3],
  'v', 1, 'digest', digest, 'lookup', lookup, 'id', id, 'outcome', outcome)
redis.call('PEXPIRE', KEYS[3], pointer_life)
return false
"""
)
"""KEYS: and pointer. ARGV: id, lives of `alive`, of the rest and of the pointer, digest, lookup
key, outcome. The pointer that is there; else the pointer is set, and unless the life of `alive` is
empty, the generation is begun."""

OPEN = Script(
    WITHOUT_ROOM
    + BEGINNING
    + FINDING
    + """
-- To be read again prolongs nothing: it is kept for so long after it has ended.
if not is_named(ARGV[3]) then name(ARGV[3], ARGV[4]) end
return describe(ARGV[3])
"""
)
"""ARGV: id, its least life, since a request id names it."""

SAVE = Script(
    BEGINNING
    + """
local id, first, last, batch, life = unpack(ARGV, 3)
if not is_mine(id) then return 0 end
local saved = tonumber(redis.call('HGET', key(id, 'state'), 'saved'))
if saved + 1 < tonumber(first) then return 0 end
if saved < tonumber(last) then
  redis.call('XADD', key(id, 'events'), last .. '-0', 'batch', batch)
  redis.call('HSET', key(id, 'state'), 'saved', last)
end
redis.call('PEXPIRE', key(id, 'events'), life)
return 1
"""
)
"""ARGV: id, the batch's first and last sequence, the batch, life. 0 where the generation is
another's, or the store has lost what came before."""

TEND = Script(
    WITHOUT_ROOM
    + BEGINNING
    + """
local id, alive, life = ARGV[3], ARGV[4], ARGV[5]
if not is_mine(id) then return {-1, 0} end
redis.call('SET', key(id, 'alive'), '', 'PX', alive)
for _, part in ipairs({'state', 'events'}) do redis.call('PEXPIRE', key(id, part), life) end
for _, place in ipairs(KEYS) do
  if redis.call('GET', place) == id then redis.call('PEXPIRE', place, life) end
end
redis.call('ZREMRANGEBYSCORE', key(id, 'readers'), '-inf', now)
local named = tonumber(redis.call('HGET', key(id, 'state'), 'named'))
return {redis.call('ZCARD', key(id, 'readers')), named}
"""
)
"""ARGV: id, lives of `alive` and of the rest. The other processes that read it, -1 where it is
another's, and whether a request id names it."""

END_UNREAD = Script(
    WITHOUT_ROOM
    + BEGINNING
    + """
local id, even_named = ARGV[3], ARGV[4]
if not is_mine(id) then return 1 end
if redis.call('ZCOUNT', key(id, 'readers'), '(' .. now, '+inf') > 0 then return 0 end
if even_named == '0' and is_named(id) then return 0 end
unlink(id)
return 1
"""
)
"""ARGV: id, whether a request id keeps it no more. 0 where it is read or kept."""

FINISH_TEXT = (
    BEGINNING
    + """
local id, status, failure, last, whole, linger, named_life, cached, refresh = unpack(ARGV, 3)
if not is_mine(id) then return {0, false} end
local before = redis.call('GET', KEYS[1])
local is_other = before and before ~= id
local loses = is_other and refresh == '0' and status_of(before) == 'complete'
  and redis.call('GET', KEYS[2]) ~= id
local is_cached = cached ~= '' and not loses
local life = tonumber(is_cached and cached or linger)
if last ~= '0' and is_named(id) then
  life = math.max(is_cached and cached or 0, named_life)
end
redis.call('HSET', key(id, 'state'),
  'status', status, 'ended', now, 'failure', failure, 'saved', last)
if last ~= '0' then redis.call('SET', key(id, 'whole'), whole, 'PX', life) end
redis.call('PEXPIRE', key(id, 'state'), life)
redis.call('UNLINK', key(id, 'events'), key(id, 'alive'), key(id, 'readers'))
unfind(id)
if not is_cached then return {1, cached ~= '' and id or false} end
redis.call('SET', KEYS[1], id, 'PX', cached)
if not is_other or status_of(before) ~= 'complete' then return {1, false} end
if not is_named(before) then
  unlink(before)
  return {1, before}
end
for _, part in ipairs({'state', 'whole'}) do
  redis.call('PEXPIRE', key(before, part), named_life, 'LT')
end
return {1, before}
"""
)
FINISH, FINISH_WITH_WHOLE = Script(WITHOUT_ROOM + FINISH_TEXT), Script(FINISH_TEXT)
"""ARGV: id, status, failure, last sequence, all events, life for those who read it, life of what a
request id names, life in the response cache ('' for none), whether it replaces what is there.
Whether it was done, and the id of what the response cache does not serve (any more): what it has
replaced, or itself, where another of the same key was complete first."""

GIVE_UP = Script(
    WITHOUT_ROOM
    + BEGINNING
    + """
local id = ARGV[3]
if not is_mine(id) then return 0 end
redis.call('HSET', key(id, 'state'), 'status', 'abandoned', 'ended', now)
redis.call('DEL', key(id, 'alive'))
unfind(id)
return 1
"""
)
"""ARGV: id. The rest of the generation will not be there."""

POLL = Script(
    WITHOUT_ROOM
    + BEGINNING
    + FINDING
    + """
local id, reader, presence, after, count = unpack(ARGV, 3)
local found = describe(id)
if not found then return false end
redis.call('ZADD', key(id, 'readers'), now + presence, reader)
redis.call('PEXPIRE', key(id, 'readers'), presence)
return {found, redis.call('XRANGE', key(id, 'events'), '(' .. after .. '-0', '+', 'COUNT', count)}
"""
)
"""ARGV: id, the reader, life of presence, the last sequence that is known, most batches."""

LEAVE = Script(
    WITHOUT_ROOM
    + BEGINNING
    + """
return redis.call('ZREM', key(ARGV[3], 'readers'), ARGV[4])
"""
)
"""ARGV: id, the reader."""

DROP = Script(
    WITHOUT_ROOM
    + BEGINNING
    + """
local id = ARGV[3]
if status_of(id) == 'running' then return 0 end
return unlink(id)
"""
)
"""ARGV: id. 0 where nothing of it was there, or it is still being made."""

FORGET_POINTER = Script(
    WITHOUT_ROOM
    + """
if redis.call('HGET', KEYS[1], 'id') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
)
"""KEYS: pointer. ARGV: id."""
