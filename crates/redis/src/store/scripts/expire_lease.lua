-- Ends the lease of a node that cannot be reached. KEYS: nodes. ARGV: the first 8 digits of the lease.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, lease in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if lease:sub(1, 8) == ARGV[1] then redis.call('ZADD', KEYS[1], 'LT', now - 1, lease) end
end
return 1
