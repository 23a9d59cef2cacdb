-- The seats of one project, by the same rules as in memory:
--   index   entries of the lease in the project; '$' for seats
--   owners  socket..shard of every seat, so that the seats of a node are adjacent
--   seated  shard -> number of seats taken
--   plan    shard -> "capacity number age"; number and age are 0 for a shard requested by name
--   open    automatic shards with a free seat, by age
--   free    numbers below the last that no automatic shard has
--   meta    total, made, last
local index, owners, seated, plan, open, free, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]

local function number_of(key, field)
  return tonumber(redis.call('HGET', key, field) or 0)
end

local function plan_of(shard)
  local text = redis.call('HGET', plan, shard)
  if not text then return nil end
  local capacity, number, age = text:match('(%d+) (%d+) (%d+)')
  return { capacity = tonumber(capacity), number = tonumber(number), age = tonumber(age) }
end

local function set_plan(shard, capacity, number, age)
  redis.call('HSET', plan, shard, string.format('%.0f %.0f %.0f', capacity, number, age))
end

local function update_open(shard, taken)
  local known = plan_of(shard)
  if known.number == 0 then return end
  if taken < known.capacity then
    redis.call('ZADD', open, known.age, shard)
  else
    redis.call('ZREM', open, shard)
  end
end

local function take(socket, shard, capacity)
  if not plan_of(shard) then set_plan(shard, capacity, 0, 0) end
  redis.call('ZADD', owners, 0, socket .. shard)
  redis.call('SADD', index, '$')
  redis.call('HINCRBY', meta, 'total', 1)
  update_open(shard, redis.call('HINCRBY', seated, shard, 1))
end

local function seat_of(socket)
  local seat = redis.call('ZRANGE', owners, '[' .. socket, '(' .. socket .. '\255', 'BYLEX', 'LIMIT', 0, 1)[1]
  return seat and seat:sub(17)
end

local function release(socket, shard)
  if redis.call('ZREM', owners, socket .. shard) == 0 then return end
  redis.call('HINCRBY', meta, 'total', -1)
  local taken = redis.call('HINCRBY', seated, shard, -1)
  if taken > 0 then return update_open(shard, taken) end
  local known = plan_of(shard)
  redis.call('HDEL', seated, shard)
  redis.call('HDEL', plan, shard)
  if known.number > 0 then
    redis.call('ZREM', open, shard)
    redis.call('ZADD', free, known.number, string.format('%.0f', known.number))
  end
  if redis.call('EXISTS', plan) == 0 then redis.call('DEL', open, free, meta) end
end
