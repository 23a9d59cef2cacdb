-- Claims a lease, unless the node has one already. KEYS: nodes. ARGV: lease, its length in ms.
-- Returns 1 if it was claimed.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, lease in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if lease:sub(1, 8) == ARGV[1]:sub(1, 8) then return 0 end
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return 1
