-- Ends kept sessions whose time is over, so that nobody can take them. Their entries stay until forget_kept.lua.
-- KEYS: kept, ends of kept. ARGV: most sessions.
-- Returns {number of kept sessions, socket, '+' or '-' if it was taken before, …}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ended = { redis.call('HLEN', KEYS[1]) }
for _, socket in ipairs(redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  local was_taken = redis.call('HGET', KEYS[1], socket) == '-'
  if not was_taken then redis.call('HSET', KEYS[1], socket, '+') end
  ended[#ended + 1] = socket
  ended[#ended + 1] = was_taken and '-' or '+'
end
return ended
