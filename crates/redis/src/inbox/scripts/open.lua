-- Gives a socket what waits for its user, unless another one has it that is still there.
-- KEYS: those of inbox.lua, all sockets of the project.
-- ARGV: that of inbox.lua, user, socket, the number after which the answer begins, the most messages. Without a
-- number there are none in the answer: who asks reads them behind this, past Lua, for a fraction of the price.
-- Returns {the ms it is, who has it or '', messages…}.
local user, socket, after = ARGV[2], ARGV[3], ARGV[4]
local inbox, answer = inbox_of(user), { now_ms(), '' }
if redis.call('EXISTS', inbox) == 0 then
  redis.call('HDEL', opened, user)
  return answer
end
local holder = redis.call('HGET', opened, user)
if holder ~= socket then
  if holder and redis.call('ZSCORE', KEYS[5], holder) then return { answer[1], holder } end
  redis.call('HSET', opened, user, socket)
end
if after ~= '' then
  local from = place_of(inbox, after)
  local messages = redis.call('LRANGE', inbox, from, from + ARGV[5])
  local first = messages[1] and messages[1]:sub(1, 8) == after and 2 or 1
  for at = first, math.min(#messages, first + ARGV[5] - 1) do answer[#answer + 1] = messages[at] end
end
return answer
