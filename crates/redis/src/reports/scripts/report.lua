-- Appends reports of a node to the streams of all groups. A report with a number that was seen before is skipped.
-- KEYS: groups, partitions, last number of the node.
-- ARGV: prefix of names, most reports in a stream, lifetime of the last number in ms, then for each report its
-- number, a hash of its client that selects the partition, its bytes.
-- Returns the number of old reports dropped at the bound; -1 if there is no group.
local groups = redis.call('ZRANGE', KEYS[1], clock(), '+inf', 'BYSCORE')
if #groups == 0 then return -1 end
local partitions = tonumber(redis.call('GET', KEYS[2]))
local last = tonumber(redis.call('GET', KEYS[3]) or 0)
local touched = {}
for i = 4, #ARGV, 3 do
  local number = tonumber(ARGV[i])
  if number > last then
    last = number
    local head = ARGV[1] .. ':work:' .. ARGV[i + 1] % partitions .. ':'
    for _, group in ipairs(groups) do
      local stream = head .. group
      redis.call('XADD', stream, '*', 'r', ARGV[i + 2])
      touched[stream] = true
    end
  end
end
redis.call('SET', KEYS[3], last, 'PX', ARGV[3])
local lost = 0
for stream in pairs(touched) do
  if redis.call('XLEN', stream) > tonumber(ARGV[2]) then
    lost = lost + redis.call('XTRIM', stream, 'MAXLEN', ARGV[2])
  end
end
return lost
