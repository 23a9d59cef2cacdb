-- Gives sockets what waits for their users, unless another one has it that is still there.
-- KEYS: those of inbox.lua, all sockets of the project.
-- ARGV: that of inbox.lua, then for each socket its user, itself, and if it has read a part already, the number
-- behind which to go on and the most messages. Who has not reads them behind this, past Lua, for a fraction of the
-- price.
-- Returns {the ms it is, for each socket who has it, or '', or what it goes on with, or nothing if that cannot be
-- read}.
local function read_on(inbox, after, most)
  if most == '0' then return {} end
  local from = place_of(inbox, after)
  if redis.call('LINDEX', inbox, 2 * from) == after then from = from + 1 end
  return redis.call('LRANGE', inbox, 2 * from, 2 * (from + most) - 1)
end

local function open(user, socket, after, most)
  local inbox = inbox_of(user)
  if redis.call('EXISTS', inbox) == 0 then
    redis.call('HDEL', opened, user)
    return ''
  end
  if redis.call('HSETNX', opened, user, socket) == 0 then
    local holder = redis.call('HGET', opened, user)
    if holder ~= socket and redis.call('ZSCORE', KEYS[5], holder) then return holder end
    redis.call('HSET', opened, user, socket)
  end
  return after == '' and '' or read_on(inbox, after, most)
end

local answer = { now_ms() }
for at = 2, #ARGV, 4 do
  local is_list, found = pcall(open, ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
  answer[#answer + 1] = is_list and found
end
return answer
