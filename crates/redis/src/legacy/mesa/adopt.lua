-- Moves what original Dispatchers stored for a user into its inbox, if it still is what the caller has read:
-- a Dispatcher may have written since, or another node was faster. No bound holds for it: it is there already.
-- KEYS: those of inbox.lua, the last number, what Dispatchers stored.
-- ARGV: that of inbox.lua, user, what was read, how long a message waits in ms, its events….
-- Returns 1 if it was.
local user = ARGV[2]
if redis.pcall('HGET', KEYS[6], user) ~= ARGV[3] then return 0 end
local inbox, bytes, waiting = inbox_of(user), 0, 0
local largest = tonumber(redis.call('HGET', totals, 'largest') or 0) or 0
if #ARGV > 4 then
  local ms, turn = new_numbers(KEYS[5], ARGV[4], #ARGV - 4)
  for at = 5, #ARGV do
    waiting = redis.call('RPUSH', inbox, number_of(ms, turn + at - 5), ARGV[at]) / 2
    bytes, largest = bytes + size_of(ARGV[at]), math.max(largest, size_of(ARGV[at]))
  end
  if waiting == #ARGV - 4 then
    redis.call('HDEL', bytes_of, user)
    redis.call('ZADD', oldest, ms, user)
  end
  if redis.call('HEXISTS', bytes_of, user) == 1 then redis.call('HINCRBY', bytes_of, user, bytes) end
  redis.call('HSET', totals, 'largest', largest)
  redis.call('HINCRBY', totals, 'messages', #ARGV - 4)
  redis.call('HINCRBY', totals, 'bytes', bytes)
end
redis.call('HDEL', KEYS[6], user)
return 1
