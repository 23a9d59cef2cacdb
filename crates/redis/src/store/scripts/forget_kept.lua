-- Removes the entries of a session that was taken or has ended. Its seat is already another socket's if it was taken with
-- the session.
-- KEYS: those of seats.lua, users, rooms, kept, ends of kept.
-- ARGV: socket, prefix of the project's names, PUBLISH or SPUBLISH, prefix of a shard's channel, message up to the
-- shard's name.
local socket, targets = ARGV[1], kept_key(ARGV[2], ARGV[1])

local function forget_seat(shard)
  release(socket, shard)
  if redis.call('HDEL', ARGV[2] .. ':shard:' .. shard, socket) == 1 then
    redis.call(ARGV[3], ARGV[4] .. shard, ARGV[5] .. shard)
  end
end

local function forget_member(target)
  local key = ARGV[2] .. ':in:' .. target
  redis.call('ZREM', key, socket)
  if redis.call('EXISTS', key) == 1 then return end
  local user = target:match('^@(.*)')
  if user then redis.call('ZREM', KEYS[8], user) end
  if target:sub(1, 1) == '#' then redis.call('ZREM', KEYS[9], target) end
end

-- A node that has come back holds the session again.
if redis.call('HDEL', KEYS[10], socket) == 0 then return 1 end
redis.call('ZREM', KEYS[11], socket)
for _, target in ipairs(redis.call('SMEMBERS', targets)) do
  if target:sub(1, 1) == '$' then forget_seat(target:sub(2)) else forget_member(target) end
end
redis.call('DEL', targets)
return 1
