-- Renews a lease that has not expired; an expired one may be partly swept. Uses Redis' clock.
-- KEYS: nodes. ARGV: lease, its length in ms.
-- Returns {1, or 0 if the lease is lost; number of nodes; expired leases…}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
local answer = { 0, 0 }
if ends and tonumber(ends) >= now then
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
  answer[1] = 1
end
answer[2] = redis.call('ZCOUNT', KEYS[1], now, '+inf')
for _, lease in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', '(' .. now, 'BYSCORE', 'LIMIT', 0, 16)) do
  answer[#answer + 1] = lease
end
return answer
