-- Ends a lease of which nothing is left. KEYS: nodes, the lease's projects. ARGV: lease.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
