-- Keeps messages for users, and has every node with a socket of theirs hear them. The messages are of callers
-- that know nothing of each other: what is wrong with one is no reason to refuse another.
-- KEYS: those of inbox.lua, the last number, users with a socket.
-- ARGV: that of inbox.lua, PUBLISH or SPUBLISH, the envelope up to its number and from there to its users, how
-- long a message waits in ms, the most messages and bytes for a user and for the project, for how many users each
-- message is, in two bytes; the events; the users of the first message, each once, those of the second….
-- Returns {the first number; each message has one more than the one before it}, and behind it for each message
-- that is not simply in the inboxes of all its users: its place from 0, in how many inboxes it is, how many
-- messages gave way, how many inboxes had no room, how many cannot be used.

-- An inbox has its bytes accounted for from when it has more messages than this, or might have more bytes, or an
-- eighth of those that it may have: so the one look at all that waits is short, and most inboxes need no account.
local UNCOUNTED_MAX, UNCOUNTED_BYTES_MAX = 32, 16384

local verb, head, project, waits_ms = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local messages_max, bytes_max = tonumber(ARGV[6]), tonumber(ARGV[7])
local project_messages_max, project_bytes_max = tonumber(ARGV[8]), tonumber(ARGV[9])
local count = #ARGV[10] / 2
local users_of = { struct.unpack('>' .. string.rep('I2', count), ARGV[10]) }
local FIRST_EVENT = 11
local FIRST_USER = FIRST_EVENT + count

-- All that is asked once for all. It fails before anything is kept if a key is of another type.
local held = redis.call('HMGET', totals, 'messages', 'bytes', 'largest')
for at = 1, 3 do held[at] = held[at] and tonumber(held[at]) or 0 end
local messages, bytes, largest = held[1], held[2], held[3]
redis.call('ZCARD', oldest)
local bytes_held, is_here, somebody_is_here = {}, {}, false
if #ARGV >= FIRST_USER then
  if redis.call('HLEN', bytes_of) > 0 then
    for place, its_bytes in ipairs(redis.call('HMGET', bytes_of, unpack(ARGV, FIRST_USER))) do
      bytes_held[ARGV[FIRST_USER + place - 1]] = its_bytes and (tonumber(its_bytes) or 0)
    end
  end
  is_here = redis.pcall('ZMSCORE', KEYS[6], unpack(ARGV, FIRST_USER))
end
for place = 1, #ARGV - FIRST_USER + 1 do
  -- If that cannot be said, each is looked for.
  somebody_is_here = somebody_is_here or is_here.err or is_here[place]
end
local ms, turn = new_numbers(KEYS[5], waits_ms, count)
local begun, recounted, is_kept_for_some, answer = {}, {}, false, { number_of(ms, turn) }

-- With so many elements an inbox is within its bounds and needs no account.
local function simple_length()
  local uncounted_bytes = math.min(UNCOUNTED_BYTES_MAX, bytes_max / 8)
  return 2 * math.min(UNCOUNTED_MAX, messages_max, math.floor(uncounted_bytes / math.max(largest, 1)))
end
local simple_max = simple_length()

-- The bytes of an inbox, which are accounted for from here on.
local function count_bytes(inbox, user)
  bytes_held[user] = size_of_all(front_of(inbox))
  recounted[user] = true
  return bytes_held[user]
end

-- How many of the oldest messages have to give way, and their size, if so much waits with the new one.
local function too_many(inbox, waiting, its_bytes)
  local gave_way, freed = 0, 0
  while gave_way < waiting - 1 and (waiting - gave_way > messages_max or its_bytes - freed > bytes_max) do
    freed = freed + size_of(redis.call('LINDEX', inbox, 2 * gave_way + 1))
    gave_way = gave_way + 1
  end
  return gave_way, freed
end

local function give_way(inbox, user, gave_way, freed)
  if gave_way == 0 then return end
  redis.call('LTRIM', inbox, 2 * gave_way, -1)
  messages, bytes = messages - gave_way, bytes - freed
  if bytes_held[user] then
    bytes_held[user] = bytes_held[user] - freed
    recounted[user] = true
  end
end

-- In a project that is full a user's own oldest have to give way first. How many did, or none if there is no room.
local function make_room(inbox, user, size)
  local length, its_bytes = redis.pcall('LLEN', inbox), bytes_held[user]
  -- What is no list is found out when the message is added.
  if type(length) ~= 'number' then return 0 end
  local waiting = math.floor(length / 2)
  if not its_bytes and waiting > 0 and (waiting + 1) * largest > bytes_max then
    its_bytes = count_bytes(inbox, user)
  end
  local gave_way, freed = too_many(inbox, waiting + 1, (its_bytes or 0) + size)
  if messages - gave_way >= project_messages_max or bytes - freed + size > project_bytes_max then return end
  give_way(inbox, user, gave_way, freed)
  return gave_way
end

-- How many messages give way for the last one of so many, which has this size.
local function bound(inbox, user, waiting, size)
  if bytes_held[user] then
    bytes_held[user] = (waiting == 1 and 0 or bytes_held[user]) + size
    recounted[user] = true
  else
    count_bytes(inbox, user)
  end
  local gave_way, freed = too_many(inbox, waiting, bytes_held[user])
  give_way(inbox, user, gave_way, freed)
  return gave_way
end

-- How many messages give way for a new one; false if there is no room for it, nil if the key holds something else.
-- What it does is done for each message and user: it calls as little as can be.
local function keep(user, number, event, size)
  local inbox, gave_way = inbox_head .. user, 0
  if messages >= project_messages_max or bytes + size > project_bytes_max then
    gave_way = make_room(inbox, user, size)
    if not gave_way then return false end
  end
  local length = redis.pcall('RPUSH', inbox, number, event)
  if type(length) ~= 'number' then return nil end
  messages, bytes = messages + 1, bytes + size
  if length == 2 then begun[#begun + 1] = user end
  if length > simple_max or bytes_held[user] then
    gave_way = gave_way + bound(inbox, user, math.floor(length / 2), size)
  end
  return gave_way
end

-- Adds to the answer if the message is not simply kept.
local function put(place, first, last)
  local event, number = ARGV[FIRST_EVENT + place - 1], number_of(ms, turn + place - 1)
  local size, displaced, refused, failed = size_of(event), 0, 0, 0
  local fits = size <= bytes_max and messages_max > 0
  if fits and size > largest then
    largest = size
    simple_max = simple_length()
  end
  for at = first, last do
    local gave_way = fits and keep(ARGV[at], number, event, size)
    if gave_way then
      displaced = displaced + gave_way
    elseif gave_way == false then
      refused = refused + 1
    else
      failed = failed + 1
    end
  end
  local kept = last - first + 1 - refused - failed
  is_kept_for_some = is_kept_for_some or kept > 0
  if displaced + refused + failed > 0 then
    for _, said in ipairs({ place - 1, kept, displaced, refused, failed }) do answer[#answer + 1] = said end
  end
end

local function put_down_kept()
  if is_kept_for_some then
    redis.call('HSET', totals, 'messages', messages, 'bytes', bytes, 'largest', largest)
  end
  local since = {}
  for place, user in ipairs(begun) do
    since[2 * place - 1], since[2 * place] = ms, user
  end
  if #begun > 0 then redis.call('ZADD', oldest, unpack(since)) end
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
    local user = ARGV[at]
    if is_here.err or is_here[at - FIRST_USER + 1] then
      here[#here + 1] = '@' .. struct.pack('>I2', #user) .. user
    end
  end
  if #here == 0 then return end
  local head = head .. number_of(ms, turn + place - 1) .. project
  publish_to_users(verb, base, #here, table.concat(here), head, ARGV[FIRST_EVENT + place - 1])
end

local function for_each_message(act)
  local first = FIRST_USER
  for place = 1, count do
    act(place, first, first + users_of[place] - 1)
    first = first + users_of[place]
  end
end

for_each_message(put)
put_down_kept()
if somebody_is_here then for_each_message(publish) end
return answer
