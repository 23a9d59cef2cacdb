-- What waits for users, in one project. A message is its number, 8 bytes, and its event as event/src/binary.rs
-- writes it; those of a user stand in a sorted set of equal scores, so their order is that of the numbers.
-- KEYS: how many messages and bytes wait in the project; bytes by user; users by the ms of their oldest; the
-- socket that has a user's inbox. ARGV: what names of the project begin with, and more.
local base = ARGV[1]
local totals, bytes_of, oldest, opened = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

-- Number and event have no fewer bytes.
local SHORTEST = 19

local function inbox_of(user)
  return base .. ':inbox:@' .. user
end

-- A number is the ms in which it was given, and 20 bits that count within it.
local function number_of(ms, turn)
  return struct.pack('>I4I4', math.floor(ms / 4096), (ms % 4096) * 1048576 + turn)
end

local function parts_of(number)
  if #number < 8 then return 0, 0 end
  local high, low = struct.unpack('>I4I4', number)
  return high * 4096 + math.floor(low / 1048576), low % 1048576
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The next number and its ms. Last_key holds the last one, for as long as a message waits.
local function next_number(last_key, waits_ms)
  local ms, turn = now_ms(), 0
  local last = redis.call('GET', last_key)
  if last then
    local last_ms, last_turn = parts_of(last)
    if last_ms >= ms then
      ms, turn = last_ms, last_turn + 1
      if turn == 1048576 then ms, turn = last_ms + 1, 0 end
    end
  end
  local number = number_of(ms, turn)
  -- When the last message is gone the clock alone is enough.
  redis.call('SET', last_key, number, 'PX', waits_ms)
  return number, ms
end

-- Name and data of a message: what is in front of them has 11 bytes, 16 more if there is a sender.
local function size_of(message)
  return math.max(#message - SHORTEST - (message:byte(9) == 1 and 16 or 0), 0)
end

-- Puts down that a user's inbox has changed by so much.
local function account(user, inbox, messages, bytes)
  local first = redis.call('ZRANGE', inbox, 0, 0)[1]
  if first then
    redis.call('HINCRBY', bytes_of, user, bytes)
    redis.call('ZADD', oldest, parts_of(first), user)
  else
    redis.call('HDEL', bytes_of, user)
    redis.call('ZREM', oldest, user)
    redis.call('HDEL', opened, user)
    -- Whatever somebody else took away from under the totals: nothing waits any more.
    if redis.call('EXISTS', oldest) == 0 then return redis.call('DEL', totals) end
  end
  redis.call('HINCRBY', totals, 'messages', messages)
  redis.call('HINCRBY', totals, 'bytes', bytes)
end

local function take_out(user, inbox, messages)
  local count, bytes = 0, 0
  for _, message in ipairs(messages) do
    if redis.call('ZREM', inbox, message) == 1 then
      count, bytes = count + 1, bytes + size_of(message)
    end
  end
  account(user, inbox, 0 - count, 0 - bytes)
  return count
end

-- Up to `most` messages that have waited for longer than they may. What is too short to be one has, too.
local function outdated(inbox, age_max_ms, most)
  local first = redis.call('ZRANGE', inbox, 0, 0)[1]
  if first and #first < SHORTEST then return { first } end
  local before = math.max(now_ms() - age_max_ms, 0)
  return redis.call('ZRANGE', inbox, '-', '(' .. number_of(before, 0), 'BYLEX', 'LIMIT', 0, most)
end
