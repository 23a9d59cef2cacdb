-- Says what others may know of a client that has a seat, and that it has changed.
-- KEYS: index, owners, what is told of the shard's clients.
-- ARGV: socket, shard, description, PUBLISH or SPUBLISH, channel, message.
if redis.call('SISMEMBER', KEYS[1], '.') == 0 then return -1 end
if redis.call('ZSCORE', KEYS[2], ARGV[1] .. ARGV[2]) then
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
  redis.call(ARGV[4], ARGV[5], ARGV[6])
end
return 1
