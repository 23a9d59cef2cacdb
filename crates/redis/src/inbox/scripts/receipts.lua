-- Removes acknowledged messages, and releases inboxes.
-- KEYS: those of inbox.lua. ARGV: that of inbox.lua, then for each receipt its user, the socket that releases the
-- inbox or '', the concatenated numbers, and their total size if they are known to be consecutive or ''.
-- Returns {number of removed messages, number of failed receipts}.
local failed = 0

-- Messages are only added at the end. If the first and the last number are as far apart as when they were read, the
-- others are between them, and no message has to be read.
local function remove_run(user, numbers, bytes)
  local inbox, count = inbox_of(user), #numbers / NUMBER_BYTES
  if redis.call('LINDEX', inbox, 0) ~= numbers:sub(1, NUMBER_BYTES) then return false end
  if redis.call('LINDEX', inbox, 2 * count - 2) ~= numbers:sub(-NUMBER_BYTES) then return false end
  remove_front(user, inbox, count, bytes, redis.call('LLEN', inbox) == 2 * count)
  return true
end

-- Acknowledged messages are mostly the oldest: one read of as many messages as there are numbers, and one command
-- that removes them.
local function acknowledge(user, numbers, bytes)
  if bytes and remove_run(user, numbers, bytes) then return end
  local inbox, count, wanted = inbox_of(user), #numbers / NUMBER_BYTES, {}
  for at = 1, #numbers, NUMBER_BYTES do wanted[numbers:sub(at, at + NUMBER_BYTES - 1)] = true end
  local messages, removed = front_of(inbox, count + 1), 0
  while wanted[messages[2 * removed + 1]] do
    wanted[messages[2 * removed + 1]] = nil
    removed = removed + 1
  end
  local left = messages[2 * removed + 1]
  for at = #messages, 2 * removed + 1, -1 do messages[at] = nil end
  remove_front(user, inbox, removed, size_of_all(messages), not left)
  if not left then return end
  for number in pairs(wanted) do
    -- Messages before the first one were acknowledged earlier.
    if is_before(left, number) then remove(user, inbox, number) end
  end
end

for at = 2, #ARGV, 4 do
  local user, numbers, bytes = ARGV[at], ARGV[at + 2], tonumber(ARGV[at + 3])
  if numbers ~= '' and not pcall(acknowledge, user, numbers, bytes) then failed = failed + 1 end
end
write_totals()
for at = 2, #ARGV, 4 do
  local user, socket = ARGV[at], ARGV[at + 1]
  if socket ~= '' and redis.pcall('HGET', holders, user) == socket then redis.call('HDEL', holders, user) end
end
return { messages_removed, failed }
