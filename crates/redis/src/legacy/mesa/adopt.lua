-- Moves messages that original Dispatchers stored for a user to the end of the user's inbox, if they are still those
-- that the caller has read. The bounds of the inbox do not apply, because the messages are stored already.
-- KEYS: those of inbox.lua, the last number, the Dispatchers' hash of messages.
-- ARGV: that of inbox.lua, user, the stored messages, lifetime of a message in ms, their events….
-- Returns 1 if they were moved.
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
