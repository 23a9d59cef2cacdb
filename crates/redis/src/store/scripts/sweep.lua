-- Removes some of a dead lease's entries in one project, so that no call is long. The tombstone prevents the
-- lease from writing here again. The entries of sessions that begin_sweep.lua has selected stay; when all others are
-- removed, these sessions can be taken.
-- KEYS: those of seats.lua, users, tombstone, mirror, rooms, sessions, cursors, kept, ends of kept.
-- ARGV: node, most entries to remove, lifetime of the tombstone in ms, prefix of the project's names, PUBLISH or
-- SPUBLISH, prefix of a shard's channel, message up to the shard's name, how long sessions are kept in ms.
-- Returns 0 if nothing is left to do.
local node, most = ARGV[1], tonumber(ARGV[2])
local from, to = '[' .. node, '[' .. node .. string.rep('\255', 12)
local copies = copies_of(KEYS[10], ARGV[4])
local sessions, cursors = KEYS[12], KEYS[13]
local keeps = redis.call('HEXISTS', cursors, '') == 1
if not keeps then redis.call('UNLINK', sessions) end
redis.call('SET', KEYS[9], '', 'PX', ARGV[3])

-- Adds a target to those of a session that is kept. Returns false if the session is not kept.
local function keep(socket, target)
  if not keeps or redis.call('HEXISTS', sessions, socket) == 0 then return false end
  redis.call('SADD', kept_key(ARGV[4], socket), target)
  return true
end

-- The next entries of a target: kept ones stay where they are, so the next call continues after the last one.
local function next_entries(key, target, last)
  local after = keeps and redis.call('HGET', cursors, target)
  local entries = redis.call('ZRANGE', key, after or from, last, 'BYLEX', 'LIMIT', 0, most)
  if keeps and #entries == most then redis.call('HSET', cursors, target, '(' .. entries[#entries]) end
  return entries
end

local function sweep_seats()
  local changed = {}
  local seats = next_entries(owners, '$', to .. '\255')
  for _, seat in ipairs(seats) do
    local socket, shard = seat:sub(1, 16), seat:sub(17)
    if not keep(socket, '$' .. shard) then
      release(socket, shard)
      redis.call('HDEL', ARGV[4] .. ':shard:' .. shard, socket)
      changed[shard] = true
    end
  end
  for shard in pairs(changed) do redis.call(ARGV[5], ARGV[6] .. shard, ARGV[7] .. shard) end
  return #seats
end

local function sweep_members(target)
  local key = ARGV[4] .. ':in:' .. target
  local sockets = next_entries(key, target, to)
  local gone = {}
  for _, socket in ipairs(sockets) do
    if not keep(socket, target) then gone[#gone + 1] = socket end
  end
  if #gone > 0 then
    redis.call('ZREM', key, unpack(gone))
    for _, copy in ipairs(copies) do copy.leave(target, gone, key) end
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
if redis.call('SCARD', index) > redis.call('SISMEMBER', index, '.') then return 1 end
redis.call('DEL', index, KEYS[10])
if not keeps then return 0 end

local time = redis.call('TIME')
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[8]
for _, socket in ipairs(redis.call('HRANDFIELD', sessions, 500)) do
  redis.call('HSET', KEYS[14], socket, redis.call('HGET', sessions, socket))
  redis.call('ZADD', KEYS[15], ends, socket)
  redis.call('HDEL', sessions, socket)
end
if redis.call('EXISTS', sessions) == 1 then return 1 end
redis.call('DEL', cursors)
return 0
