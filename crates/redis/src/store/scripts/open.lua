-- Lets a lease write in a project, unless it is swept there. KEYS: index, tombstone, mirror.
-- ARGV: the prefix of the keys that will hold copies, if any will.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SADD', KEYS[1], '.')
if ARGV[1] then redis.call('SET', KEYS[3], ARGV[1]) end
return 1
