-- Publishes to the nodes of some users, and on some other channels.
-- KEYS: the prefix of the project's names, so that a cluster finds the slot.
-- ARGV: the same prefix; PUBLISH or SPUBLISH; the publishing node; the message up to its targets and the rest
-- behind them, or the whole message and ''; the number of users; the users in the encoding of an audience;
-- other channels…. Returns the number of receiving nodes, some of which may be counted twice.
local base, verb, head, tail = ARGV[1], ARGV[2], ARGV[4], ARGV[5]

-- The number of users that have a socket, and these users in the same encoding. One call for all of them: a client
-- may name thousands that do not exist.
local function online(users)
  local names, encoded, at = {}, {}, 1
  while at <= #users do
    local last = at + 2 + struct.unpack('>I2', users, at + 1)
    names[#names + 1], encoded[#encoded + 1] = users:sub(at + 3, last), users:sub(at, last)
    at = last + 1
  end
  local scores, found = redis.pcall('ZMSCORE', base .. ':users', unpack(names)), {}
  -- If the lookup fails, every user counts as online.
  if scores.err then return #names, users end
  for place, score in ipairs(scores) do
    if score then found[#found + 1] = encoded[place] end
  end
  return #found, table.concat(found)
end

local count, users = online(ARGV[7])
local receivers = 0
if count > 0 then
  receivers = publish_to_users(verb, base, count, users, head, tail ~= '' and tail or nil, ARGV[3])
end
for at = 8, #ARGV do receivers = receivers + redis.call(verb, ARGV[at], head) end
return receivers
