-- Takes out what arrived, and lets go of what sockets had opened.
-- KEYS: those of inbox.lua. ARGV: that of inbox.lua, then for each receipt its user, the socket that lets go or
-- nothing, the numbers one after the other, and their bytes if they were handed out as they stood next to one
-- another, or nothing.
-- Returns {how many messages were taken out, how many receipts could not be written}.
local failed = 0

-- Messages are only ever added at the end. So if the first and the last of those that stood together are as far
-- apart as they were, between them are the others, and none need be looked at.
local function arrived_together(user, numbers, bytes)
  local inbox, count = inbox_of(user), #numbers / 8
  local first = redis.call('LINDEX', inbox, 0)
  local last = count > 1 and redis.call('LINDEX', inbox, count - 1) or first
  if not last or first:sub(1, 8) ~= numbers:sub(1, 8) or last:sub(1, 8) ~= numbers:sub(-8) then return false end
  take_front(user, inbox, count, bytes, redis.call('LLEN', inbox) == count)
  return true
end

-- What arrived is mostly what has waited longest: one look at as many messages as there are numbers, and one
-- command that takes them out.
local function arrived(user, numbers, bytes)
  if bytes and arrived_together(user, numbers, bytes) then return end
  local inbox, count, wanted = inbox_of(user), #numbers / 8, {}
  for at = 1, #numbers, 8 do wanted[numbers:sub(at, at + 7)] = true end
  local messages = redis.call('LRANGE', inbox, 0, count)
  local front = {}
  for _, message in ipairs(messages) do
    local number = message:sub(1, 8)
    if not wanted[number] then break end
    front[#front + 1] = message
    wanted[number] = nil
  end
  local left = messages[#front + 1]
  take_front(user, inbox, #front, size_of_all(front), not left)
  if not left then return end
  for number in pairs(wanted) do
    -- What is before the first one arrived earlier.
    if is_before(left, number) then
      local message = redis.call('LINDEX', inbox, place_of(inbox, number))
      if message and message:sub(1, 8) == number then take_out(user, inbox, message) end
    end
  end
end

for at = 2, #ARGV, 4 do
  local user, numbers, bytes = ARGV[at], ARGV[at + 2], tonumber(ARGV[at + 3])
  if numbers ~= '' and not pcall(arrived, user, numbers, bytes) then failed = failed + 1 end
end
put_down()
for at = 2, #ARGV, 4 do
  local user, socket = ARGV[at], ARGV[at + 1]
  if socket ~= '' and redis.pcall('HGET', opened, user) == socket then redis.call('HDEL', opened, user) end
end
return { messages_out, failed }
