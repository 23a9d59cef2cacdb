-- Registers projects in which a lease is about to write. KEYS: nodes, the lease's projects.
-- ARGV: lease, projects….
-- Returns 0 if the lease is lost.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
for i = 2, #ARGV do redis.call('SADD', KEYS[2], ARGV[i]) end
return 1
