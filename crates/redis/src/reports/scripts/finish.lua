-- Deletes acknowledged reports from partitions that the worker still owns.
-- KEYS: owners. ARGV: prefix of names, group, worker, then for each partition its number, count of ids, ids….
-- Returns the partitions that it no longer owns.
local lost = {}
local i = 4
while i <= #ARGV do
  local partition, count = ARGV[i], tonumber(ARGV[i + 1])
  if redis.call('HGET', KEYS[1], partition) == ARGV[3] then
    local stream = ARGV[1] .. ':work:' .. partition .. ':' .. ARGV[2]
    redis.call('XDEL', stream, unpack(ARGV, i + 2, i + 1 + count))
  else
    lost[#lost + 1] = tonumber(partition)
  end
  i = i + 2 + count
end
return lost
