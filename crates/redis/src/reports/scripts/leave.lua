-- Removes a worker from its group. KEYS: workers, owners. ARGV: PUBLISH or SPUBLISH, channel, group, worker,
-- partitions in which it has no unfinished reports…. `free` and `announce` are in workers.lua.
local settled = {}
for i = 5, #ARGV do settled[ARGV[i]] = true end
free(KEYS[2], ARGV[4], settled)
redis.call('ZREM', KEYS[1], ARGV[4])
announce(ARGV[1], ARGV[2], ARGV[3])
return 1
