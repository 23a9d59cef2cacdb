-- Takes out what arrived, and lets go of what sockets had opened.
-- KEYS: those of inbox.lua. ARGV: that of inbox.lua, then for each receipt its user, the socket that lets go or
-- nothing, the numbers one after the other, and their bytes if they were handed out as they stood next to one
-- another, or nothing.
-- Returns {how many messages were taken out, how many receipts could not be written}.
local failed = 0

-- Messages are only ever added at the end. So if the first and the last of those that stood together are as far
-- apart as they were, between them are the others, and none need be looked at.
local function arrived_together(user, numbers, bytes)
  local inbox, count = inbox_of(user), #numbers / NUMBER_BYTES
  if redis.call('LINDEX', inbox, 0) ~= numbers:sub(1, NUMBER_BYTES) then return false end
  if redis.call('LINDEX', inbox, 2 * count - 2) ~= numbers:sub(-NUMBER_BYTES) then return false end
  take_front(user, inbox, count, bytes, redis.call('LLEN', inbox) == 2 * count)
  return true
end

-- What arrived is mostly what has waited longest: one look at as many messages as there are numbers, and one
-- command that takes them out.
local function arrived(user, numbers, bytes)
  if bytes and arrived_together(user, numbers, bytes) then return end
  local inbox, count, wanted = inbox_of(user), #numbers / NUMBER_BYTES, {}
  for at = 1, #numbers, NUMBER_BYTES do wanted[numbers:sub(at, at + NUMBER_BYTES - 1)] = true end
  local messages, arrived = front_of(inbox, count + 1), 0
  while wanted[messages[2 * arrived + 1]] do
    wanted[messages[2 * arrived + 1]] = nil
    arrived = arrived + 1
  end
  local left = messages[2 * arrived + 1]
  for at = #messages, 2 * arrived + 1, -1 do messages[at] = nil end
  take_front(user, inbox, arrived, size_of_all(messages), not left)
  if not left then return end
  for number in pairs(wanted) do
    -- What is before the first one arrived earlier.
    if is_before(left, number) then take_out(user, inbox, number) end
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
