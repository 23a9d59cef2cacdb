-- Takes a seat on the named shard or on an automatic one. With an entry for the member list, the socket also
-- enters its targets and the change is published, so a connect is one round trip.
-- KEYS: those of seats.lua.
-- ARGV: socket; shard or ''; capacity; '1' if a full named shard overflows to an automatic one; most seats of the
-- project or ''. With an entry: the entry, prefix of the project's names, PUBLISH or SPUBLISH, prefix of a
-- shard's channel, message up to the shard's name. With ARGV[11]: a socket whose seat passes to this one, if it has one.
-- Returns {1, shard, capacity, number}, {0} if the project is full, {-1} if the lease is lost.
local socket, requested, capacity = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- The oldest automatic shard with a free seat and fewer than `capacity` taken seats. Looks at one shard for each
-- number of taken seats.
local function oldest_open()
  local oldest, shard
  local from, to = '-', '(' .. open_entry('', capacity, 0)
  while true do
    local entry = redis.call('ZRANGE', open, from, to, 'BYLEX', 'LIMIT', 0, 1)[1]
    if not entry then return shard end
    local age = entry:sub(11, 26)
    if not oldest or age < oldest then oldest, shard = age, entry:sub(27) end
    from = '(' .. entry:sub(1, 10) .. '\255'
  end
end

local function lowest_free_number()
  local range = redis.call('ZRANGE', free, 0, 0)[1]
  return range and tonumber(range:match('%d+')) or 1
end

local function automatic()
  local shard = oldest_open()
  if shard then return shard end
  local number
  repeat
    number = lowest_free_number()
    shard = string.format('shard-%.0f', number)
    local is_taken = redis.call('HEXISTS', plan, shard) == 1
    -- A free number has a shard only if Redis has lost the free ranges.
    if is_taken then take_number(number) end
  until not is_taken
  create(shard, capacity, number, redis.call('HINCRBY', meta, 'made', 1))
  return shard
end

local function is_full(shard)
  local known = plan_of(shard)
  return known and count_of(seated, shard) >= math.min(known.capacity, capacity)
end

local function enter(shard)
  for _, target in ipairs({ '=', '#' .. shard }) do
    redis.call('ZADD', ARGV[7] .. ':in:' .. target, 0, socket)
    redis.call('SADD', index, target)
  end
  redis.call('ZADD', ARGV[7] .. ':rooms', 0, '#' .. shard)
  redis.call('HSET', ARGV[7] .. ':shard:' .. shard, socket, ARGV[6])
  redis.call(ARGV[8], ARGV[9] .. shard, ARGV[10] .. shard)
end

-- The number of taken seats stays, so nobody else gets the seat in between. The entry of the previous socket is removed with
-- its session, which notifies this node as well.
local function move_seat(previous)
  local shard = seat_of(previous)
  if not shard then return end
  redis.call('ZREM', owners, previous .. shard)
  redis.call('ZADD', owners, 0, socket .. shard)
  redis.call('SADD', index, '$')
  return shard
end

if redis.call('SISMEMBER', index, '.') == 0 then return { -1 } end
local shard = seat_of(socket) or (ARGV[11] and move_seat(ARGV[11]))
if not shard then
  if ARGV[5] ~= '' and count_of(meta, 'total') >= tonumber(ARGV[5]) then return { 0 } end
  shard = requested
  if shard == '' or (ARGV[4] == '1' and is_full(shard)) then shard = automatic() end
  take(socket, shard, capacity)
end
if ARGV[6] then enter(shard) end
local known = plan_of(shard)
return { 1, shard, known.capacity, known.number }
