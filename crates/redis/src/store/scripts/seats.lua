-- The seats of one project, by the same rules as in memory:
--   index   entries of the lease in the project; '$' for seats
--   owners  socket..shard of every seat, so that the seats of a node are adjacent
--   seated  shard -> number of seats taken
--   plan    shard -> "capacity number age"; number and age are 0 for a shard requested by name
--   open    automatic shards with a free seat: taken seats, age and name, so that those with equally many taken
--           seats are adjacent, the oldest first
--   free    numbers that no shard's name contains, as ranges "first last" by their first; none if all are free
--   meta    total: number of seats taken; made: number of automatic shards created so far, the age of the next
local index, owners, seated, plan, open, free, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]

-- The highest number of a shard. Lua's numbers are exact up to here.
local LAST_NUMBER = 999999999999999

local function count_of(key, field)
  return tonumber(redis.call('HGET', key, field) or 0)
end

-- The number in a name of the form of automatic shards.
local function number_of(shard)
  local digits = shard:match('^shard%-([1-9]%d*)$')
  return digits and #digits <= 15 and tonumber(digits)
end

-- The last free range that begins at a number or before it.
local function free_range(number)
  local range = redis.call('ZRANGE', free, number, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1)[1]
  if not range then return end
  local first, last = range:match('(%d+) (%d+)')
  return range, tonumber(first), tonumber(last)
end

local function add_range(first, last)
  if first <= last then redis.call('ZADD', free, first, string.format('%.0f %.0f', first, last)) end
end

local function take_number(number)
  if redis.call('EXISTS', free) == 0 then add_range(1, LAST_NUMBER) end
  local range, first, last = free_range(number)
  if not range or last < number then return end
  redis.call('ZREM', free, range)
  add_range(first, number - 1)
  add_range(number + 1, last)
end

local function release_number(number)
  local first, last = number, number
  local before, before_first, before_last = free_range(number - 1)
  if before and before_last == number - 1 then
    redis.call('ZREM', free, before)
    first = before_first
  end
  local after, after_first, after_last = free_range(number + 1)
  if after and after_first == number + 1 then
    redis.call('ZREM', free, after)
    last = after_last
  end
  add_range(first, last)
end

local function plan_of(shard)
  local text = redis.call('HGET', plan, shard)
  if not text then return nil end
  local capacity, number, age = text:match('(%d+) (%d+) (%d+)')
  return { capacity = tonumber(capacity), number = tonumber(number), age = tonumber(age) }
end

local function create(shard, capacity, number, age)
  redis.call('HSET', plan, shard, string.format('%.0f %.0f %.0f', capacity, number, age))
  local in_name = number_of(shard)
  if in_name then take_number(in_name) end
end

-- An entry of `open`.
local function open_entry(shard, taken, age)
  return string.format('%010.0f%016.0f', taken, age) .. shard
end

-- Updates whether a shard is open when its taken seats change.
local function update_open(shard, known, before, taken)
  if known.number == 0 then return end
  redis.call('ZREM', open, open_entry(shard, before, known.age))
  if taken > 0 and taken < known.capacity then
    redis.call('ZADD', open, 0, open_entry(shard, taken, known.age))
  end
end

local function take(socket, shard, capacity)
  if not plan_of(shard) then create(shard, capacity, 0, 0) end
  redis.call('ZADD', owners, 0, socket .. shard)
  redis.call('SADD', index, '$')
  redis.call('HINCRBY', meta, 'total', 1)
  local taken = redis.call('HINCRBY', seated, shard, 1)
  update_open(shard, plan_of(shard), taken - 1, taken)
end

local function seat_of(socket)
  local seat = redis.call('ZRANGE', owners, '[' .. socket, '(' .. socket .. '\255', 'BYLEX', 'LIMIT', 0, 1)[1]
  return seat and seat:sub(17)
end

local function release(socket, shard)
  if redis.call('ZREM', owners, socket .. shard) == 0 then return end
  redis.call('HINCRBY', meta, 'total', -1)
  local taken = redis.call('HINCRBY', seated, shard, -1)
  update_open(shard, plan_of(shard), taken + 1, taken)
  if taken > 0 then return end
  redis.call('HDEL', seated, shard)
  redis.call('HDEL', plan, shard)
  local in_name = number_of(shard)
  if in_name then release_number(in_name) end
  if redis.call('EXISTS', plan) == 0 then redis.call('DEL', open, free, meta) end
end
