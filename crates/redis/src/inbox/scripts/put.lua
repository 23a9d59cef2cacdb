-- Stores messages for users, and publishes them to every node with a socket of theirs. The messages come from
-- independent callers, so a failure of one must not affect another.
-- KEYS: those of inbox.lua, the last number, users with a socket.
-- ARGV: that of inbox.lua; PUBLISH or SPUBLISH; the envelope up to its number, and from there to its users; lifetime
-- of a message in ms; most messages and bytes for a user, and for the project; the number of users of each message,
-- in two bytes each; the events; the users of the first message, each once, those of the second….
-- Returns the first number (the others are consecutive), followed by five values for each message that is not in all
-- its inboxes or caused an eviction: its index from 0, inboxes that hold it, evicted messages, inboxes without space,
-- inboxes with a key of the wrong type.

-- The uncounted-inbox heuristic: the bytes of an inbox are counted only once it has more messages than this, or may
-- have more bytes than this or than an eighth of its bound. Most inboxes are therefore never counted, and the first
-- count is short.
local UNCOUNTED_MAX, UNCOUNTED_BYTES_MAX = 32, 16384

local verb, head, project, retention_ms = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local messages_max, bytes_max = tonumber(ARGV[6]), tonumber(ARGV[7])
local project_messages_max, project_bytes_max = tonumber(ARGV[8]), tonumber(ARGV[9])
local count = #ARGV[10] / 2
local users_of = { struct.unpack('>' .. string.rep('I2', count), ARGV[10]) }
local FIRST_EVENT = 11
local FIRST_USER = FIRST_EVENT + count

-- Everything that is read once for all messages. A key of the wrong type fails here, before anything is stored.
local stored_totals = redis.call('HMGET', totals, 'messages', 'bytes', 'largest')
for at = 1, 3 do stored_totals[at] = stored_totals[at] and tonumber(stored_totals[at]) or 0 end
local messages, bytes, largest = stored_totals[1], stored_totals[2], stored_totals[3]
redis.call('ZCARD', oldest)
local bytes_held, online, any_online = {}, {}, false
if #ARGV >= FIRST_USER then
  if redis.call('HLEN', bytes_of) > 0 then
    for place, inbox_bytes in ipairs(redis.call('HMGET', bytes_of, unpack(ARGV, FIRST_USER))) do
      bytes_held[ARGV[FIRST_USER + place - 1]] = inbox_bytes and (tonumber(inbox_bytes) or 0)
    end
  end
  online = redis.pcall('ZMSCORE', KEYS[6], unpack(ARGV, FIRST_USER))
end
for place = 1, #ARGV - FIRST_USER + 1 do
  -- If the lookup fails, every user counts as online.
  any_online = any_online or online.err or online[place]
end
local ms, turn = new_numbers(KEYS[5], retention_ms, count)
local newly_filled, recounted, any_stored, answer = {}, {}, false, { number_of(ms, turn) }

-- The number of list elements up to which an inbox is surely within its bounds and is not counted.
local function uncounted_length()
  local uncounted_bytes = math.min(UNCOUNTED_BYTES_MAX, bytes_max / 8)
  return 2 * math.min(UNCOUNTED_MAX, messages_max, math.floor(uncounted_bytes / math.max(largest, 1)))
end
local uncounted_elements_max = uncounted_length()

-- The bytes of an inbox, which are counted from now on.
local function count_bytes(inbox, user)
  bytes_held[user] = size_of_all(front_of(inbox))
  recounted[user] = true
  return bytes_held[user]
end

-- The number of oldest messages to evict, and their size. `waiting` is the number of messages with the new one.
local function excess(inbox, waiting, inbox_bytes)
  local evicted, freed = 0, 0
  while evicted < waiting - 1 and (waiting - evicted > messages_max or inbox_bytes - freed > bytes_max) do
    freed = freed + size_of(redis.call('LINDEX', inbox, 2 * evicted + 1))
    evicted = evicted + 1
  end
  return evicted, freed
end

local function evict(inbox, user, evicted, freed)
  if evicted == 0 then return end
  redis.call('LTRIM', inbox, 2 * evicted, -1)
  messages, bytes = messages - evicted, bytes - freed
  if bytes_held[user] then
    bytes_held[user] = bytes_held[user] - freed
    recounted[user] = true
  end
end

-- In a full project, a message evicts its user's own oldest messages or is refused. Returns the number of evicted
-- messages; nil if there is no space.
local function make_space(inbox, user, size)
  local length, inbox_bytes = redis.pcall('LLEN', inbox), bytes_held[user]
  -- A key of the wrong type is detected when the message is added.
  if type(length) ~= 'number' then return 0 end
  local waiting = math.floor(length / 2)
  if not inbox_bytes and waiting > 0 and (waiting + 1) * largest > bytes_max then
    inbox_bytes = count_bytes(inbox, user)
  end
  local evicted, freed = excess(inbox, waiting + 1, (inbox_bytes or 0) + size)
  if messages - evicted >= project_messages_max or bytes - freed + size > project_bytes_max then return end
  evict(inbox, user, evicted, freed)
  return evicted
end

-- Evicts messages after one of this size was added. Returns the number of evicted messages.
local function bound(inbox, user, waiting, size)
  if bytes_held[user] then
    bytes_held[user] = (waiting == 1 and 0 or bytes_held[user]) + size
    recounted[user] = true
  else
    count_bytes(inbox, user)
  end
  local evicted, freed = excess(inbox, waiting, bytes_held[user])
  evict(inbox, user, evicted, freed)
  return evicted
end

-- Stores a message in one inbox. Returns the number of evicted messages; false if there is no space; nil if the key
-- has the wrong type. It runs for each message and user, so it makes as few calls as possible.
local function store(user, number, event, size)
  local inbox, evicted = inbox_head .. user, 0
  if messages >= project_messages_max or bytes + size > project_bytes_max then
    evicted = make_space(inbox, user, size)
    if not evicted then return false end
  end
  local length = redis.pcall('RPUSH', inbox, number, event)
  if type(length) ~= 'number' then return nil end
  messages, bytes = messages + 1, bytes + size
  if length == 2 then newly_filled[#newly_filled + 1] = user end
  if length > uncounted_elements_max or bytes_held[user] then
    evicted = evicted + bound(inbox, user, math.floor(length / 2), size)
  end
  return evicted
end

-- Stores a message in the inboxes of its users, and adds to the reply unless it is in all of them without an eviction.
local function put(place, first, last)
  local event, number = ARGV[FIRST_EVENT + place - 1], number_of(ms, turn + place - 1)
  local size, evictions, refused, failed = size_of(event), 0, 0, 0
  local fits = size <= bytes_max and messages_max > 0
  if fits and size > largest then
    largest = size
    uncounted_elements_max = uncounted_length()
  end
  for at = first, last do
    local evicted = fits and store(ARGV[at], number, event, size)
    if evicted then
      evictions = evictions + evicted
    elseif evicted == false then
      refused = refused + 1
    else
      failed = failed + 1
    end
  end
  local stored = last - first + 1 - refused - failed
  any_stored = any_stored or stored > 0
  if evictions + refused + failed > 0 then
    for _, count in ipairs({ place - 1, stored, evictions, refused, failed }) do answer[#answer + 1] = count end
  end
end

local function write_stored()
  if any_stored then
    redis.call('HSET', totals, 'messages', messages, 'bytes', bytes, 'largest', largest)
  end
  local since = {}
  for place, user in ipairs(newly_filled) do
    since[2 * place - 1], since[2 * place] = ms, user
  end
  if #newly_filled > 0 then redis.call('ZADD', oldest, unpack(since)) end
  local all, at = {}, 1
  for user in pairs(recounted) do
    all[at], all[at + 1] = user, bytes_held[user]
    at = at + 2
  end
  if at > 1 then redis.call('HSET', bytes_of, unpack(all)) end
end

-- Only online users have a node that receives the message.
local function publish(place, first, last)
  local receivers = {}
  for at = first, last do
    local user = ARGV[at]
    if online.err or online[at - FIRST_USER + 1] then
      receivers[#receivers + 1] = '@' .. struct.pack('>I2', #user) .. user
    end
  end
  if #receivers == 0 then return end
  local head = head .. number_of(ms, turn + place - 1) .. project
  local event = ARGV[FIRST_EVENT + place - 1]
  publish_to_users(verb, base, #receivers, table.concat(receivers), head, event, nil, true)
end

local function for_each_message(act)
  local first = FIRST_USER
  for place = 1, count do
    act(place, first, first + users_of[place] - 1)
    first = first + users_of[place]
  end
end

for_each_message(put)
write_stored()
if any_online then for_each_message(publish) end
return answer
