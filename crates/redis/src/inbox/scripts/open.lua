-- Gives a socket what waits for its user, unless another one has it that is still there.
-- KEYS: those of inbox.lua, all sockets of the project.
-- ARGV: that of inbox.lua, user, socket, where the answer begins, the most messages, how long one waits in ms.
-- Returns {how many had waited for too long, who has it or '', messages…}.
local user, socket = ARGV[2], ARGV[3]
local inbox = inbox_of(user)
local old = outdated(inbox, ARGV[6], 1000)
local expired = #old > 0 and take_out(user, inbox, old) or 0
if redis.call('EXISTS', inbox) == 0 then
  redis.call('HDEL', opened, user)
  return { expired, '' }
end
local holder = redis.call('HGET', opened, user)
if holder and holder ~= socket and redis.call('ZSCORE', KEYS[5], holder) then return { expired, holder } end
redis.call('HSET', opened, user, socket)
local answer, unreadable = { expired, '' }, {}
for _, message in ipairs(redis.call('ZRANGE', inbox, ARGV[4], '+', 'BYLEX', 'LIMIT', 0, ARGV[5])) do
  local list = #message < SHORTEST and unreadable or answer
  list[#list + 1] = message
end
if #unreadable > 0 then take_out(user, inbox, unreadable) end
return answer
