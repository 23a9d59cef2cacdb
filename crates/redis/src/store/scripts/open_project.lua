-- Allows a lease to write in a project, unless it was swept there. KEYS: index, tombstone, mirror.
-- ARGV: kinds of copies for original servers and their parameters, alternating.
-- Returns 1 if it may write.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SADD', KEYS[1], '.')
if #ARGV > 0 then redis.call('HSET', KEYS[3], unpack(ARGV)) end
return 1
