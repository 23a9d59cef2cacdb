-- Puts reports of a node into the streams of all groups, each once however often it is handed in.
-- KEYS: groups, partitions, the last number of the node.
-- ARGV: base, most reports in a stream, how long the last number is remembered in ms, then for each report:
-- its number, a number by which its client is put into a partition, its bytes.
-- Returns how many old reports gave way; -1 if there is no group.
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
