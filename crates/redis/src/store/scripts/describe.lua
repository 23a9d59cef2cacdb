-- Writes the member list entry of a socket that has a seat, and publishes the change.
-- KEYS: index, owners, member list of the shard.
-- ARGV: socket, shard, entry, PUBLISH or SPUBLISH, channel, message.
-- Returns -1 if the lease is lost.
if redis.call('SISMEMBER', KEYS[1], '.') == 0 then return -1 end
if redis.call('ZSCORE', KEYS[2], ARGV[1] .. ARGV[2]) then
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
  redis.call(ARGV[4], ARGV[5], ARGV[6])
end
return 1
