-- Takes out a part of what has waited for longer than it may, so that no call is long.
-- KEYS: those of inbox.lua. ARGV: that of inbox.lua, how long a message waits in ms, the most to take out, and if
-- it is for one user alone, the user.
-- Returns {how many were taken out, 1 if there may be more}.
local AT_ONCE = 64
local before, most = now_ms() - ARGV[2], tonumber(ARGV[3])

local function is_outdated(message)
  return #message < SHORTEST or parts_of(message) < before
end

local function expire(user, room)
  local inbox, old = inbox_of(user), {}
  local left = redis.call('LINDEX', inbox, 0)
  if left and is_outdated(left) then
    for _, message in ipairs(redis.call('LRANGE', inbox, 0, room)) do
      left = message
      if #old == room or not is_outdated(message) then break end
      old[#old + 1], left = message, false
    end
  end
  if left then redis.call('ZADD', oldest, (parts_of(left)), user) end
  take_front(user, inbox, #old, size_of_all(old), not left)
  return #old
end

local users = { ARGV[4] }
if #users == 0 then
  users = redis.call('ZRANGE', oldest, '-inf', '(' .. before, 'BYSCORE', 'LIMIT', 0, AT_ONCE)
end
local expired = 0
for _, user in ipairs(users) do
  local is_list, count = pcall(expire, user, most - expired)
  if is_list then
    expired = expired + count
  else
    redis.call('ZREM', oldest, user)
  end
  if expired >= most then break end
end
put_down()
return { expired, (#users == AT_ONCE or expired >= most) and 1 or 0 }
