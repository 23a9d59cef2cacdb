-- Takes out what arrived, and lets go of what sockets had opened.
-- KEYS: those of inbox.lua. ARGV: that of inbox.lua, then for each receipt its user, the socket that lets go or
-- nothing, how many numbers there are, and the numbers.
-- Returns {how many messages were taken out, how many receipts could not be written}.
local confirmed, failed = 0, 0

local function receipt(user, socket, first, last)
  if socket ~= '' and redis.call('HGET', opened, user) == socket then redis.call('HDEL', opened, user) end
  if first > last then return end
  local inbox, messages = inbox_of(user), {}
  for at = first, last do
    local number = ARGV[at]
    -- Behind the number stands 0 or 1.
    messages[#messages + 1] = redis.call('ZRANGE', inbox, '[' .. number, '(' .. number .. '\255', 'BYLEX')[1]
  end
  if #messages > 0 then confirmed = confirmed + take_out(user, inbox, messages) end
end

local at = 2
while at <= #ARGV do
  local count = tonumber(ARGV[at + 2])
  if not pcall(receipt, ARGV[at], ARGV[at + 1], at + 3, at + 2 + count) then failed = failed + 1 end
  at = at + 3 + count
end
return { confirmed, failed }
