-- Moves what original Dispatchers stored for a user into its inbox, if it still is what the caller has read:
-- a Dispatcher may have written since, or another node was faster. No bound holds for it: it is there already.
-- KEYS: those of inbox.lua, the last number, what Dispatchers stored.
-- ARGV: that of inbox.lua, user, what was read, how long a message waits in ms, its events….
-- Returns 1 if it was.
local user = ARGV[2]
if redis.pcall('HGET', KEYS[6], user) ~= ARGV[3] then return 0 end
local inbox, bytes = inbox_of(user), 0
for at = 5, #ARGV do
  local message = next_number(KEYS[5], ARGV[4]) .. ARGV[at]
  redis.call('ZADD', inbox, 0, message)
  bytes = bytes + size_of(message)
end
if #ARGV > 4 then account(user, inbox, #ARGV - 4, bytes) end
redis.call('HDEL', KEYS[6], user)
return 1
