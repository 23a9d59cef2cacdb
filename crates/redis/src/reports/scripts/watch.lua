-- Looks at the groups of a project, and takes out those that have been without workers for too long.
-- KEYS: groups, partitions. ARGV: base, verb, channel, how many partitions there shall be.
-- Returns {partitions, then for each group: its name, how many workers it has, workers…}.
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
-- Which report is in which partition cannot change while there are any.
if #groups == 0 and partitions ~= tonumber(ARGV[4]) then
  partitions = tonumber(ARGV[4])
  redis.call('SET', KEYS[2], partitions)
end
local answer = { partitions }
for _, group in ipairs(groups) do
  local workers = base .. ':work:workers:' .. group
  if expel(workers, base .. ':work:owners:' .. group, now) then tell(ARGV[2], ARGV[3], group) end
  local there = redis.call('ZRANGE', workers, 0, -1)
  answer[#answer + 1] = group
  answer[#answer + 1] = #there
  for _, worker in ipairs(there) do answer[#answer + 1] = worker end
end
return answer
