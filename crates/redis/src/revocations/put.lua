-- Stores revocations, and removes those of expired tokens.
-- KEYS: the revocations, their ends. ARGV: for each revocation its key, issued-before and end in ms.
-- Times are compared as numbers and written as texts, because Lua writes large numbers with an exponent.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('HDEL', KEYS[1], key)
  redis.call('ZREM', KEYS[2], key)
end
local function later(one, two)
  if tonumber(one) > tonumber(two) then return one end
  return two
end
for i = 1, #ARGV, 3 do
  local key, before, ends = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local known = redis.call('HGET', KEYS[1], key)
  if known then
    local known_before, known_ends = string.match(known, '^(%d+) (%d+)$')
    if known_before then
      before, ends = later(before, known_before), later(ends, known_ends)
    end
  end
  redis.call('HSET', KEYS[1], key, before .. ' ' .. ends)
  redis.call('ZADD', KEYS[2], ends, key)
end
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2]
if last then
  redis.call('PEXPIREAT', KEYS[1], last)
  redis.call('PEXPIREAT', KEYS[2], last)
end
return 1
