-- Says something as an original Mesa Dispatcher does, but in one step: to users who are there on the channel, and
-- into the list of what was missed for those who are not.
-- KEYS: who is connected, what was missed. ARGV: channel, message, 1 if it waits, users….
-- Returns for how many it waits.
local online, missed = {}, 0

-- The list is extended as it stands: to decode it would change its numbers.
local function keep(user)
  local list = redis.call('HGET', KEYS[2], user)
  local rest = list and list:match('^%s*%[(.*)%]%s*$')
  if rest and rest:match('%S') then
    redis.call('HSET', KEYS[2], user, '[' .. rest .. ',' .. ARGV[2] .. ']')
  else
    redis.call('HSET', KEYS[2], user, '[' .. ARGV[2] .. ']')
  end
  missed = missed + 1
end

for at = 4, #ARGV do
  local user = ARGV[at]
  if ARGV[3] ~= '1' or redis.call('SISMEMBER', KEYS[1], user) == 1 then
    online[#online + 1] = cjson.encode(user)
  else
    keep(user)
  end
end
if #online > 0 then
  local recipients = '[' .. table.concat(online, ',') .. ']'
  redis.call('PUBLISH', ARGV[1], '{"message":' .. ARGV[2] .. ',"recipients":' .. recipients .. '}')
end
return missed
