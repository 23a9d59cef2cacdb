-- Takes a kept session. If the taker dies, its entries are removed after a while.
-- KEYS: kept, ends of kept. ARGV: socket, record, time for the removal of its entries in ms, prefix of the project's names.
-- Returns its targets, with its description behind its seat, or nil if it was taken before, has ended, or is held by its node again.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return false end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], '-')
redis.call('ZADD', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3], ARGV[1])
local targets = {}
for _, target in ipairs(redis.call('SMEMBERS', kept_key(ARGV[4], ARGV[1]))) do
  targets[#targets + 1] = target
  if target:sub(1, 1) == '$' then
    local description = redis.call('HGET', ARGV[4] .. ':shard:' .. target:sub(2), ARGV[1])
    targets[#targets + 1] = '%' .. (description or '')
  end
end
return targets
