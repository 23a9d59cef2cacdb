-- What waits for users, in one project. A message is two elements of its user's list: its number, 8 bytes, and its
-- event as event/src/binary.rs writes it, which has more. They stand in the order of their numbers.
-- KEYS: how many messages and bytes wait in the project, and no fewer bytes than the largest has; bytes by user,
-- of those alone for whom much may wait; users by the ms of their oldest, or earlier; the socket that has a user's
-- inbox. ARGV: what names of the project begin with, and more.
-- Lua hashes every byte of each string that it is given or makes, which for an event costs as much as to keep it:
-- so events are looked at no more often than must be.
local base = ARGV[1]
local totals, bytes_of, oldest, opened = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local NUMBER_BYTES = 8

local inbox_head = base .. ':inbox:@'

local function inbox_of(user)
  return inbox_head .. user
end

-- A number is the ms in which it was given, and 20 bits that count within it.
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

-- The ms and turn of the first of `count` new numbers, no more than there are turns; the others follow it in the
-- same ms. Last_key holds the last one given, for as long as a message waits.
local function new_numbers(last_key, waits_ms, count)
  local ms, turn = now_ms(), 0
  local last = redis.call('GET', last_key)
  if last then
    local last_ms, last_turn = parts_of(last)
    if last_ms >= ms then ms, turn = last_ms, last_turn + 1 end
    if turn + count > TURNS then ms, turn = ms + 1, 0 end
  end
  -- When the last message is gone the clock alone is enough.
  redis.call('SET', last_key, number_of(ms, turn + count - 1), 'PX', waits_ms)
  return ms, turn
end

-- Name and data of an event: what is in front of them has 11 bytes, 16 more if there is a sender.
local function size_of(event)
  return math.max(#event - (event:byte() == 1 and 27 or 11), 0)
end

-- The first messages of an inbox, so many; all without a number.
local function front_of(inbox, count)
  return redis.call('LRANGE', inbox, 0, count and 2 * count - 1 or -1)
end

local function size_of_all(messages)
  local bytes = 0
  for at = 2, #messages, 2 do bytes = bytes + size_of(messages[at]) end
  return bytes
end

-- What was taken out in this call, until `put_down`.
local messages_out, bytes_out, emptied = 0, 0, {}

local function took(user, messages, bytes, is_empty)
  messages_out, bytes_out = messages_out + messages, bytes_out + bytes
  if is_empty then
    emptied[#emptied + 1] = user
  elseif bytes > 0 and redis.call('HEXISTS', bytes_of, user) == 1 then
    redis.call('HINCRBY', bytes_of, user, 0 - bytes)
  end
end

-- Puts down what was taken out, once for all users. For no more than a few thousand of them.
local function put_down()
  if #emptied > 0 then
    redis.call('HDEL', bytes_of, unpack(emptied))
    redis.call('ZREM', oldest, unpack(emptied))
    redis.call('HDEL', opened, unpack(emptied))
    -- Whatever somebody else took away from under the totals: nothing waits any more.
    if redis.call('EXISTS', oldest) == 0 then return redis.call('DEL', totals) end
  end
  if messages_out > 0 then
    redis.call('HINCRBY', totals, 'messages', 0 - messages_out)
    redis.call('HINCRBY', totals, 'bytes', 0 - bytes_out)
  end
end

-- Takes out the first messages of an inbox, which have so many bytes.
local function take_front(user, inbox, count, bytes, is_all)
  if is_all then
    redis.call('DEL', inbox)
  elseif count > 0 then
    redis.call('LTRIM', inbox, 2 * count, -1)
  end
  took(user, count, bytes, is_all)
end

-- The place of the first message that has this number or a later one.
local function place_of(inbox, number)
  local from, to = 0, math.floor(redis.call('LLEN', inbox) / 2)
  while from < to do
    local middle = math.floor((from + to) / 2)
    if is_before(redis.call('LINDEX', inbox, 2 * middle), number) then from = middle + 1 else to = middle end
  end
  return from
end

-- Takes out the message with this number, wherever it stands. Says whether it was there.
local function take_out(user, inbox, number)
  local place = 2 * place_of(inbox, number)
  if redis.call('LINDEX', inbox, place) ~= number then return false end
  local event = redis.call('LINDEX', inbox, place + 1)
  if not event then return false end
  local gone = number .. ' is gone'
  for its = place, place + 1 do redis.call('LSET', inbox, its, gone) end
  redis.call('LREM', inbox, 2, gone)
  took(user, 1, size_of(event), redis.call('EXISTS', inbox) == 0)
  return true
end
