-- Takes out a part of what has waited for longer than it may, so that no call is long.
-- KEYS: those of inbox.lua. ARGV: that of inbox.lua, how long a message waits in ms, the most to take out.
-- Returns {how many were taken out, 1 if there may be more}.
local age_max_ms, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local users = redis.call('ZRANGE', oldest, '-inf', '(' .. (now_ms() - age_max_ms), 'BYSCORE', 'LIMIT', 0, 64)
local expired = 0
for _, user in ipairs(users) do
  local inbox = inbox_of(user)
  local taken, count = pcall(function()
    return take_out(user, inbox, outdated(inbox, age_max_ms, most - expired))
  end)
  if taken then
    expired = expired + count
  else
    redis.call('ZREM', oldest, user)
  end
  if expired >= most then break end
end
return { expired, expired > 0 and 1 or 0 }
