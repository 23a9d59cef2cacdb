-- Lists the groups of a project, and removes those that have been without workers for too long.
-- KEYS: groups, partitions. ARGV: prefix of names, PUBLISH or SPUBLISH, channel, configured number of partitions.
-- Returns {number of partitions, then for each group its name, number of workers, workers…}.
local base = ARGV[1]
local now = clock()
local partitions = tonumber(redis.call('GET', KEYS[2]))
for _, group in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', '(' .. now, 'BYSCORE')) do
  for n = 0, (partitions or 0) - 1 do
    redis.call('UNLINK', base .. ':work:' .. n .. ':' .. group)
  end
  redis.call('UNLINK', base .. ':work:workers:' .. group, base .. ':work:owners:' .. group)
  redis.call('ZREM', KEYS[1], group)
end
local groups = redis.call('ZRANGE', KEYS[1], 0, -1)
-- The partition of a client must not change while there is a group.
if #groups == 0 and partitions ~= tonumber(ARGV[4]) then
  partitions = tonumber(ARGV[4])
  redis.call('SET', KEYS[2], partitions)
end
local answer = { partitions }
for _, group in ipairs(groups) do
  local workers = base .. ':work:workers:' .. group
  if remove_expired(workers, base .. ':work:owners:' .. group, now) then announce(ARGV[2], ARGV[3], group) end
  local live = redis.call('ZRANGE', workers, 0, -1)
  answer[#answer + 1] = group
  answer[#answer + 1] = #live
  for _, worker in ipairs(live) do answer[#answer + 1] = worker end
end
return answer
