-- Keeps a message for users, and has every node with a socket of theirs hear it.
-- KEYS: those of inbox.lua, the last number.
-- ARGV: that of inbox.lua, PUBLISH or SPUBLISH, the envelope up to its number and from there to its audience, the
-- event, the most messages and bytes for a user and for the project, how long a message waits in ms, users….
-- Returns {number, in how many inboxes it is, how many messages gave way, how many inboxes had no room, how many
-- cannot be used}.
local verb, head, project, event = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local messages_max, bytes_max = tonumber(ARGV[6]), tonumber(ARGV[7])
local project_messages_max, project_bytes_max = tonumber(ARGV[8]), tonumber(ARGV[9])
local waits_ms = ARGV[10]

local held = redis.call('HMGET', totals, 'messages', 'bytes')
local messages, bytes = tonumber(held[1] or 0), tonumber(held[2] or 0)
-- Fails before anything is kept if they are of another type.
redis.call('HLEN', bytes_of)
redis.call('ZCARD', oldest)
local number, ms = next_number(KEYS[5], waits_ms)
local message = number .. event
local size = size_of(message)
local answer = { number, 0, 0, 0, 0 }

-- The oldest messages of a user that give way, and their size.
local function too_many(user, inbox, waiting)
  if waiting == 0 then return {}, 0 end
  local held = tonumber(redis.call('HGET', bytes_of, user) or 0)
  local old, freed = {}, 0
  while waiting - #old >= messages_max or held - freed + size > bytes_max do
    local next_old = redis.call('ZRANGE', inbox, #old, #old)[1]
    if not next_old then break end
    old[#old + 1] = next_old
    freed = freed + size_of(next_old)
  end
  return old, freed
end

local function put(user)
  local inbox = inbox_of(user)
  local waiting = redis.call('ZCARD', inbox)
  local old, freed = too_many(user, inbox, waiting)
  local room = messages - #old < project_messages_max and bytes - freed + size <= project_bytes_max
  if not room or size > bytes_max or messages_max < 1 then
    answer[4] = answer[4] + 1
    return
  end
  redis.call('ZADD', inbox, 0, message)
  if #old > 0 then
    take_out(user, inbox, old)
  elseif waiting == 0 then
    redis.call('ZADD', oldest, ms, user)
  end
  redis.call('HINCRBY', bytes_of, user, size)
  messages, bytes = messages + 1 - #old, bytes + size - freed
  answer[2], answer[3] = answer[2] + 1, answer[3] + #old
end

local users = {}
for at = 11, #ARGV do
  local user = ARGV[at]
  users[#users + 1] = '@' .. struct.pack('>I2', #user) .. user
  if not pcall(put, user) then answer[5] = answer[5] + 1 end
end
if answer[2] > 0 then
  redis.call('HINCRBY', totals, 'messages', answer[2])
  redis.call('HINCRBY', totals, 'bytes', answer[2] * size)
end
local except = string.rep('\0', 4)
publish_to_users(verb, base, #users, table.concat(users), head .. number .. project, except .. event)
return answer
