-- KEYS: those of seats.lua, what is told of the shard's clients.
-- ARGV: socket, shard, PUBLISH or SPUBLISH, channel, message.
-- Returns what is left in the index, -1 if the lease is lost.
if redis.call('SISMEMBER', index, '.') == 0 then return -1 end
local socket, shard = ARGV[1], ARGV[2]
stand_up(socket, shard)
local node = socket:sub(1, 4)
if redis.call('ZLEXCOUNT', owners, '[' .. node, '[' .. node .. string.rep('\255', 13)) == 0 then
  redis.call('SREM', index, '$')
end
if redis.call('HDEL', KEYS[8], socket) == 1 then redis.call(ARGV[3], ARGV[4], ARGV[5]) end
return redis.call('SCARD', index)
