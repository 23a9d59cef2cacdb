-- Functions on the inboxes of one project. A message is two elements of its user's list: its number of 8 bytes, and
-- its event as event/src/binary.rs encodes it, which is longer. Messages are in the order of their numbers.
-- KEYS: totals: messages, bytes, and an upper bound of the largest message; bytes by user, only for inboxes that
-- may be near their bound; users by the time of their oldest message, or earlier; the socket that holds a
-- user's inbox. ARGV: prefix of the project's names, and more.
-- Lua hashes every byte of each string that it receives or makes. Hashing an event costs as much as storing it, so
-- the scripts read events as rarely as possible.
local base = ARGV[1]
local totals, bytes_of, oldest, holders = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local NUMBER_BYTES = 8

local inbox_head = base .. ':inbox:@'

local function inbox_of(user)
  return inbox_head .. user
end

-- A number is a time in ms, and 20 bits that count within that ms.
local TURNS = 1048576

local function number_of(ms, turn)
  return struct.pack('>I4I4', math.floor(ms / 4096), (ms % 4096) * TURNS + turn)
end

local function parts_of(number)
  if #number < NUMBER_BYTES then return 0, 0 end
  local high, low = struct.unpack('>I4I4', number)
  return high * 4096 + math.floor(low / TURNS), low % TURNS
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function is_before(number, other)
  local ms, turn = parts_of(number)
  local other_ms, other_turn = parts_of(other)
  return ms < other_ms or ms == other_ms and turn < other_turn
end

-- The ms and turn of the first of `count` new numbers, which all have the same ms. `last_key` holds the last number
-- for as long as messages are kept.
local function new_numbers(last_key, retention_ms, count)
  local ms, turn = now_ms(), 0
  local last = redis.call('GET', last_key)
  if last then
    local last_ms, last_turn = parts_of(last)
    if last_ms >= ms then ms, turn = last_ms, last_turn + 1 end
    if turn + count > TURNS then ms, turn = ms + 1, 0 end
  end
  -- Once all messages have expired, the clock alone gives new numbers.
  redis.call('SET', last_key, number_of(ms, turn + count - 1), 'PX', retention_ms)
  return ms, turn
end

-- The size of an event's name and data. The header in front of them has 11 bytes, and 16 more with a sender.
local function size_of(event)
  return math.max(#event - (event:byte() == 1 and 27 or 11), 0)
end

-- The first `count` messages of an inbox, or all of them.
local function front_of(inbox, count)
  return redis.call('LRANGE', inbox, 0, count and 2 * count - 1 or -1)
end

local function size_of_all(messages)
  local bytes = 0
  for at = 2, #messages, 2 do bytes = bytes + size_of(messages[at]) end
  return bytes
end

-- Messages and bytes removed in this call, until `write_totals`.
local messages_removed, bytes_removed, emptied = 0, 0, {}

local function count_removed(user, messages, bytes, is_empty)
  messages_removed, bytes_removed = messages_removed + messages, bytes_removed + bytes
  if is_empty then
    emptied[#emptied + 1] = user
  elseif bytes > 0 and redis.call('HEXISTS', bytes_of, user) == 1 then
    redis.call('HINCRBY', bytes_of, user, 0 - bytes)
  end
end

-- Writes the totals once for all users, at most a few thousand.
local function write_totals()
  if #emptied > 0 then
    redis.call('HDEL', bytes_of, unpack(emptied))
    redis.call('ZREM', oldest, unpack(emptied))
    redis.call('HDEL', holders, unpack(emptied))
    -- No message is left. This also repairs totals that are wrong because keys were deleted.
    if redis.call('EXISTS', oldest) == 0 then return redis.call('DEL', totals) end
  end
  if messages_removed > 0 then
    redis.call('HINCRBY', totals, 'messages', 0 - messages_removed)
    redis.call('HINCRBY', totals, 'bytes', 0 - bytes_removed)
  end
end

-- Removes the first `count` messages of an inbox, whose size is `bytes`.
local function remove_front(user, inbox, count, bytes, is_all)
  if is_all then
    redis.call('DEL', inbox)
  elseif count > 0 then
    redis.call('LTRIM', inbox, 2 * count, -1)
  end
  count_removed(user, count, bytes, is_all)
end

-- The index of the first message with this number or a later one.
local function index_of(inbox, number)
  local from, to = 0, math.floor(redis.call('LLEN', inbox) / 2)
  while from < to do
    local middle = math.floor((from + to) / 2)
    if is_before(redis.call('LINDEX', inbox, 2 * middle), number) then from = middle + 1 else to = middle end
  end
  return from
end

-- Removes the message with this number. Returns whether it was there.
local function remove(user, inbox, number)
  local at = 2 * index_of(inbox, number)
  if redis.call('LINDEX', inbox, at) ~= number then return false end
  local event = redis.call('LINDEX', inbox, at + 1)
  if not event then return false end
  local gone = number .. ' is gone'
  for i = at, at + 1 do redis.call('LSET', inbox, i, gone) end
  redis.call('LREM', inbox, 2, gone)
  count_removed(user, 1, size_of(event), redis.call('EXISTS', inbox) == 0)
  return true
end
