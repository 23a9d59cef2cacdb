-- Takes a worker out of its group. KEYS: workers, owners. ARGV: verb, channel, group, worker, the partitions
-- that it has left nothing of undone in….
local clean = {}
for i = 5, #ARGV do clean[ARGV[i]] = true end
free(KEYS[2], ARGV[4], clean)
redis.call('ZREM', KEYS[1], ARGV[4])
tell(ARGV[1], ARGV[2], ARGV[3])
return 1
