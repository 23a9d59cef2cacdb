-- Lets a lease write in a project, unless it is swept there. KEYS: index, tombstone, mirror.
-- ARGV: kinds of originals and where they have copies, in turn.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SADD', KEYS[1], '.')
if #ARGV > 0 then redis.call('HSET', KEYS[3], unpack(ARGV)) end
return 1
