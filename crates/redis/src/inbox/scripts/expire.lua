-- Removes some expired messages, so that no call is long.
-- KEYS: those of inbox.lua. ARGV: that of inbox.lua, lifetime of a message in ms, most messages to remove, and a
-- user if only that user's messages are to be removed.
-- Returns {number of removed messages, 1 if there may be more}.
local AT_ONCE = 64
local before, most = now_ms() - ARGV[2], tonumber(ARGV[3])

local function is_expired(number)
  return #number == NUMBER_BYTES and parts_of(number) < before
end

local function expire(user, max)
  local inbox = inbox_of(user)
  local left = redis.call('LINDEX', inbox, 0)
  if left and #left ~= NUMBER_BYTES then
    -- Elements in front of the first number belong to no message.
    local strays = 0
    for _, element in ipairs(front_of(inbox, max)) do
      if #element == NUMBER_BYTES then break end
      strays = strays + 1
    end
    redis.call('LTRIM', inbox, strays, -1)
    left = redis.call('LINDEX', inbox, 0)
  end
  local messages, count = left and is_expired(left) and front_of(inbox, max + 1) or { left }, 0
  while left and count < max and is_expired(left) do
    count = count + 1
    left = messages[2 * count + 1]
  end
  for at = #messages, 2 * count + 1, -1 do messages[at] = nil end
  remove_front(user, inbox, count, size_of_all(messages), not left)
  if left then redis.call('ZADD', oldest, (parts_of(left)), user) end
  return count
end

local users = { ARGV[4] }
if #users == 0 then
  users = redis.call('ZRANGE', oldest, '-inf', '(' .. before, 'BYSCORE', 'LIMIT', 0, AT_ONCE)
end
local expired = 0
for _, user in ipairs(users) do
  local ok, count = pcall(expire, user, most - expired)
  if ok then
    expired = expired + count
  elseif tostring(count.err or count):find('WRONGTYPE') then
    redis.call('ZREM', oldest, user)
  else
    error(count)
  end
  if expired >= most then break end
end
write_totals()
return { expired, (#users == AT_ONCE or expired >= most) and 1 or 0 }
