-- Lets a lease write in a project, unless it is swept there. KEYS: index, tombstone.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SADD', KEYS[1], '.')
return 1
