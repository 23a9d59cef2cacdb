-- Adds the count of a node for a key of a rate rule. The value is the theoretical arrival time of the generic cell rate
-- algorithm, in µs: a count moves it into the future.
-- KEYS: the key. ARGV: the cost of the count in µs. Returns how far the time is in the future, in µs.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ends = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if ends < now then ends = now end
ends = ends + tonumber(ARGV[1])
if ends > now then
  redis.call('SET', KEYS[1], string.format('%.0f', ends), 'PX', math.ceil((ends - now) / 1000))
end
return ends - now
