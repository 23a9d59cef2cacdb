-- Removes some of a dead lease's entries in one project, so that no call is long. The tombstone prevents the
-- lease from writing here again.
-- KEYS: those of seats.lua, users, tombstone, mirror, rooms.
-- ARGV: node, most entries to remove, lifetime of the tombstone in ms, prefix of the project's names, PUBLISH or
-- SPUBLISH, prefix of a shard's channel, message up to the shard's name.
-- Returns the size of the index.
local node, most = ARGV[1], tonumber(ARGV[2])
local from, to = '[' .. node, '[' .. node .. string.rep('\255', 12)
local copies = copies_of(KEYS[10], ARGV[4])
redis.call('SET', KEYS[9], '', 'PX', ARGV[3])

local function sweep_seats()
  local changed = {}
  local seats = redis.call('ZRANGE', owners, from, to .. '\255', 'BYLEX', 'LIMIT', 0, most)
  for _, seat in ipairs(seats) do
    local socket, shard = seat:sub(1, 16), seat:sub(17)
    release(socket, shard)
    redis.call('HDEL', ARGV[4] .. ':shard:' .. shard, socket)
    changed[shard] = true
  end
  for shard in pairs(changed) do redis.call(ARGV[5], ARGV[6] .. shard, ARGV[7] .. shard) end
  return #seats
end

local function sweep_members(target)
  local key = ARGV[4] .. ':in:' .. target
  local sockets = redis.call('ZRANGE', key, from, to, 'BYLEX', 'LIMIT', 0, most)
  if #sockets > 0 then
    redis.call('ZREM', key, unpack(sockets))
    for _, copy in ipairs(copies) do copy.leave(target, sockets, key) end
  end
  local user = target:match('^@(.*)')
  if redis.call('EXISTS', key) == 0 then
    if user then redis.call('ZREM', KEYS[8], user) end
    if target:sub(1, 1) == '#' then redis.call('ZREM', KEYS[11], target) end
  end
  return #sockets
end

local function sweep_target(target)
  if target == '$' then return sweep_seats() end
  return sweep_members(target)
end

for _, target in ipairs(redis.call('SRANDMEMBER', index, 64)) do
  if target ~= '.' then
    local taken = sweep_target(target)
    if taken < most then redis.call('SREM', index, target) end
    most = most - taken
    if most <= 0 then break end
  end
end
if redis.call('SCARD', index) == redis.call('SISMEMBER', index, '.') then redis.call('DEL', index, KEYS[10]) end
return redis.call('SCARD', index)
