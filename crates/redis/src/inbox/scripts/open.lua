-- Gives each socket its user's inbox, unless another connected socket holds it.
-- KEYS: those of inbox.lua, all sockets of the project.
-- ARGV: that of inbox.lua, then for each socket its user, the socket, the number behind which it reads on or '', the
-- most messages. A first read is a separate LRANGE behind this call, because passing messages through Lua costs
-- several times as much.
-- Returns {now, then for each socket one of: the other socket that holds the inbox; '' if it holds the inbox itself;
-- the messages read on; false if the key has the wrong type}.
local function read_on(inbox, after, most)
  if most == '0' then return {} end
  local from = index_of(inbox, after)
  if redis.call('LINDEX', inbox, 2 * from) == after then from = from + 1 end
  return redis.call('LRANGE', inbox, 2 * from, 2 * (from + most) - 1)
end

local function open(user, socket, after, most)
  local inbox = inbox_of(user)
  if redis.call('EXISTS', inbox) == 0 then
    redis.call('HDEL', holders, user)
    return ''
  end
  if redis.call('HSETNX', holders, user, socket) == 0 then
    local holder = redis.call('HGET', holders, user)
    if holder ~= socket and redis.call('ZSCORE', KEYS[5], holder) then return holder end
    redis.call('HSET', holders, user, socket)
  end
  return after == '' and '' or read_on(inbox, after, most)
end

local answer = { now_ms() }
for at = 2, #ARGV, 4 do
  local ok, found = pcall(open, ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
  answer[#answer + 1] = ok and found
end
return answer
