-- Removes a lease that has no projects. KEYS: nodes, the lease's projects. ARGV: lease.
-- Returns 0 if it has registered a project in the meantime.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
