-- Releases a seat, removes the socket from the shard's member list and publishes the change.
-- KEYS: those of seats.lua, member list of the shard.
-- ARGV: socket, shard, PUBLISH or SPUBLISH, channel, message.
-- Returns the size of the index, -1 if the lease is lost.
if redis.call('SISMEMBER', index, '.') == 0 then return -1 end
local socket, shard = ARGV[1], ARGV[2]
release(socket, shard)
local node = socket:sub(1, 4)
if redis.call('ZLEXCOUNT', owners, '[' .. node, '[' .. node .. string.rep('\255', 13)) == 0 then
  redis.call('SREM', index, '$')
end
if redis.call('HDEL', KEYS[8], socket) == 1 then redis.call(ARGV[3], ARGV[4], ARGV[5]) end
return redis.call('SCARD', index)
