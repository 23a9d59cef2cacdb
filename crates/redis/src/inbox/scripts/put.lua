-- Keeps messages for users, and has every node with a socket of theirs hear them. The messages are of callers
-- that know nothing of each other: what is wrong with one is no reason to refuse another.
-- KEYS: those of inbox.lua, the last number, users with a socket.
-- ARGV: that of inbox.lua, PUBLISH or SPUBLISH, the envelope up to its number and from there to its audience, how
-- long a message waits in ms, the most messages and bytes for a user and for the project; then for each message
-- its event, its users, each once, and ''.
-- Returns {the first number; each message has one more than the one before it}, and behind it for each message
-- that is not simply in the inboxes of all its users: its place from 0, in how many inboxes it is, how many
-- messages gave way, how many inboxes had no room, how many cannot be used.
local FIRST_EVENT = 10

-- An inbox has its bytes accounted for from when it has more messages than this, or might have an eighth of the
-- bytes that it may have: so the one look at all that waits is short, and most inboxes need no account.
local UNCOUNTED_MAX = 32

local verb, head, project, waits_ms = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local messages_max, bytes_max = tonumber(ARGV[6]), tonumber(ARGV[7])
local project_messages_max, project_bytes_max = tonumber(ARGV[8]), tonumber(ARGV[9])

-- The users of all messages one after the other, and of each message its event and its last user's place.
local users, events, ends = {}, {}, {}
local at = FIRST_EVENT
while at <= #ARGV do
  events[#events + 1] = ARGV[at]
  at = at + 1
  while ARGV[at] ~= '' do
    users[#users + 1] = ARGV[at]
    at = at + 1
  end
  ends[#events] = #users
  at = at + 1
end

-- All that is asked once for all. It fails before anything is kept if a key is of another type.
local held = redis.call('HMGET', totals, 'messages', 'bytes', 'largest')
for at = 1, 3 do held[at] = held[at] and tonumber(held[at]) or 0 end
local messages, bytes, largest = held[1], held[2], held[3]
redis.call('ZCARD', oldest)
local bytes_held, is_here, somebody_is_here = {}, {}, false
if redis.call('HLEN', bytes_of) > 0 and #users > 0 then
  for place, its_bytes in ipairs(redis.call('HMGET', bytes_of, unpack(users))) do
    bytes_held[users[place]] = its_bytes and (tonumber(its_bytes) or 0)
  end
end
if #users > 0 then is_here = redis.pcall('ZMSCORE', KEYS[6], unpack(users)) end
for place = 1, #users do
  -- If that cannot be said, each is looked for.
  somebody_is_here = somebody_is_here or is_here.err or is_here[place]
end
local ms, turn = new_numbers(KEYS[5], waits_ms, #events)
local begun, recounted, is_kept_for_some, answer = {}, {}, false, { (number_of(ms, turn)) }

-- The bytes of an inbox, which are accounted for from here on.
local function count_bytes(inbox, user)
  bytes_held[user] = size_of_all(redis.call('LRANGE', inbox, 0, -1))
  recounted[user] = true
  return bytes_held[user]
end

-- How many of the oldest messages have to give way, and their size, if so much waits with the new one.
local function too_many(inbox, waiting, its_bytes)
  local count, freed = 0, 0
  while count < waiting - 1 and (waiting - count > messages_max or its_bytes - freed > bytes_max) do
    freed = freed + size_of(redis.call('LINDEX', inbox, count))
    count = count + 1
  end
  return count, freed
end

local function give_way(inbox, user, count, freed)
  if count == 0 then return end
  redis.call('LTRIM', inbox, count, -1)
  messages, bytes = messages - count, bytes - freed
  if bytes_held[user] then
    bytes_held[user] = bytes_held[user] - freed
    recounted[user] = true
  end
end

-- In a project that is full a user's own oldest have to give way first. How many did, or none if there is no room.
local function make_room(inbox, user, size)
  local waiting, its_bytes = redis.call('LLEN', inbox), bytes_held[user]
  if not its_bytes and waiting > 0 and (waiting + 1) * largest > bytes_max then
    its_bytes = count_bytes(inbox, user)
  end
  local count, freed = too_many(inbox, waiting + 1, (its_bytes or 0) + size)
  if messages - count >= project_messages_max or bytes - freed + size > project_bytes_max then return end
  give_way(inbox, user, count, freed)
  return count
end

-- Says whether the message is kept, and how many gave way for it.
local function keep(user, message, size, its_ms)
  local inbox, gave_way = inbox_of(user), 0
  if messages >= project_messages_max or bytes + size > project_bytes_max then
    gave_way = make_room(inbox, user, size)
    if not gave_way then return false, 0 end
  end
  local waiting = redis.call('RPUSH', inbox, message)
  messages, bytes = messages + 1, bytes + size
  if waiting == 1 then
    begun[#begun + 1] = its_ms
    begun[#begun + 1] = user
  end
  if bytes_held[user] then
    bytes_held[user] = (waiting == 1 and 0 or bytes_held[user]) + size
    recounted[user] = true
  elseif waiting > UNCOUNTED_MAX or waiting * largest > bytes_max / 8 then
    count_bytes(inbox, user)
  end
  if waiting > messages_max or (bytes_held[user] or 0) > bytes_max then
    local count, freed = too_many(inbox, waiting, bytes_held[user] or 0)
    give_way(inbox, user, count, freed)
    gave_way = gave_way + count
  end
  return true, gave_way
end

-- Adds to the answer if the message is not simply kept.
local function put(place, first, last)
  local number, its_ms = number_of(ms, turn + place - 1)
  local message = number .. events[place]
  local size = size_of(message)
  local kept, displaced, refused, failed = 0, 0, 0, 0
  local fits = size <= bytes_max and messages_max > 0
  if fits then largest = math.max(largest, size) end
  for at = first, last do
    local is_list, is_kept, gave_way = true, false, 0
    if fits then is_list, is_kept, gave_way = pcall(keep, users[at], message, size, its_ms) end
    if not is_list then
      failed = failed + 1
    elseif is_kept then
      kept, displaced = kept + 1, displaced + gave_way
    else
      refused = refused + 1
    end
  end
  is_kept_for_some = is_kept_for_some or kept > 0
  if displaced + refused + failed > 0 then
    for _, count in ipairs({ place - 1, kept, displaced, refused, failed }) do answer[#answer + 1] = count end
  end
end

local function put_down_kept()
  if not is_kept_for_some then return end
  redis.call('HSET', totals, 'messages', messages, 'bytes', bytes, 'largest', largest)
  if #begun > 0 then redis.call('ZADD', oldest, unpack(begun)) end
  local all, at = {}, 1
  for user in pairs(recounted) do
    all[at], all[at + 1] = user, bytes_held[user]
    at = at + 2
  end
  if at > 1 then redis.call('HSET', bytes_of, unpack(all)) end
end

-- Who has no socket has no node that could hear it.
local function publish(place, first, last)
  local here = {}
  for at = first, last do
    local user = users[at]
    if is_here.err or is_here[at] then here[#here + 1] = '@' .. struct.pack('>I2', #user) .. user end
  end
  if #here == 0 then return end
  local number, nobody_is_excepted = number_of(ms, turn + place - 1), string.rep('\0', 4)
  local head, tail = head .. number .. project, nobody_is_excepted .. events[place]
  publish_to_users(verb, base, #here, table.concat(here), head, tail)
end

for place, last in ipairs(ends) do put(place, (ends[place - 1] or 0) + 1, last) end
put_down_kept()
if somebody_is_here then
  for place, last in ipairs(ends) do publish(place, (ends[place - 1] or 0) + 1, last) end
end
return answer
