-- Takes a seat on the named shard or on an automatic one. With an entry for the member list, the socket also
-- enters its targets and the change is published, so a connect is one round trip.
-- KEYS: those of seats.lua.
-- ARGV: socket; shard or ''; capacity; '1' if a full named shard overflows to an automatic one; most seats of the
-- project or ''. With an entry: the entry, prefix of the project's names, PUBLISH or SPUBLISH, prefix of a
-- shard's channel, message up to the shard's name.
-- Returns {1, shard, capacity, number}, {0} if the project is full, {-1} if the lease is lost.
local socket, requested, capacity = ARGV[1], ARGV[2], tonumber(ARGV[3])

local function free_number()
  local at = 0
  while true do
    local numbers = redis.call('ZRANGE', free, at, at + 15)
    if #numbers == 0 then break end
    for _, number in ipairs(numbers) do
      if redis.call('HEXISTS', plan, 'shard-' .. number) == 0 then
        redis.call('ZREM', free, number)
        return number
      end
    end
    at = at + 16
  end
  while true do
    local number = string.format('%.0f', redis.call('HINCRBY', meta, 'last', 1))
    if redis.call('HEXISTS', plan, 'shard-' .. number) == 0 then return number end
    redis.call('ZADD', free, number, number)
  end
end

local function automatic()
  local at = 0
  while true do
    local shards = redis.call('ZRANGE', open, at, at + 15)
    if #shards == 0 then break end
    for _, shard in ipairs(shards) do
      if number_of(seated, shard) < capacity then return shard end
    end
    at = at + 16
  end
  local number = free_number()
  local shard = 'shard-' .. number
  set_plan(shard, capacity, tonumber(number), redis.call('HINCRBY', meta, 'made', 1))
  return shard
end

local function is_full(shard)
  local known = plan_of(shard)
  return known and number_of(seated, shard) >= math.min(known.capacity, capacity)
end

local function enter(shard)
  for _, target in ipairs({ '=', '#' .. shard }) do
    redis.call('ZADD', ARGV[7] .. ':in:' .. target, 0, socket)
    redis.call('SADD', index, target)
  end
  redis.call('HSET', ARGV[7] .. ':shard:' .. shard, socket, ARGV[6])
  redis.call(ARGV[8], ARGV[9] .. shard, ARGV[10] .. shard)
end

if redis.call('SISMEMBER', index, '.') == 0 then return { -1 } end
local shard = seat_of(socket)
if not shard then
  if ARGV[5] ~= '' and number_of(meta, 'total') >= tonumber(ARGV[5]) then return { 0 } end
  shard = requested
  if shard == '' or (ARGV[4] == '1' and is_full(shard)) then shard = automatic() end
  take(socket, shard, capacity)
end
if ARGV[6] then enter(shard) end
local known = plan_of(shard)
return { 1, shard, known.capacity, known.number }
