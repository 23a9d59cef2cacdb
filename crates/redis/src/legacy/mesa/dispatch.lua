-- Dispatches a message as an original Mesa Dispatcher does, but atomically: publishes it on the channel to the users who
-- are online, and appends it to the stored messages of the others.
-- KEYS: set of connected users, hash of stored messages. ARGV: channel, message, 1 to store, user ids….
-- Returns the number of users for which the message was stored.
local online, stored = {}, 0

-- The list is extended as text, because decoding it would change its numbers.
local function store(user)
  local list = redis.call('HGET', KEYS[2], user)
  local rest = list and list:match('^%s*%[(.*)%]%s*$')
  if rest and rest:match('%S') then
    redis.call('HSET', KEYS[2], user, '[' .. rest .. ',' .. ARGV[2] .. ']')
  else
    redis.call('HSET', KEYS[2], user, '[' .. ARGV[2] .. ']')
  end
  stored = stored + 1
end

for i = 4, #ARGV do
  local user = ARGV[i]
  if ARGV[3] ~= '1' or redis.call('SISMEMBER', KEYS[1], user) == 1 then
    online[#online + 1] = cjson.encode(user)
  else
    store(user)
  end
end
if #online > 0 then
  local recipients = '[' .. table.concat(online, ',') .. ']'
  redis.call('PUBLISH', ARGV[1], '{"message":' .. ARGV[2] .. ',"recipients":' .. recipients .. '}')
end
return stored
