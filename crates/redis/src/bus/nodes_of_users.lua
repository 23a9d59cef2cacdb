-- Publishing once to each node that has sockets of some users.

-- Users that are looked up together at first, and at most. Each part is twice as long as the one before: often a few
-- users are enough.
local PART_FIRST, PART_MAX = 8, 256

-- The number of nodes that subscribe to the project's channel for everyone.
local function count_nodes(verb, base)
  local counts = redis.pcall('PUBSUB', verb == 'SPUBLISH' and 'SHARDNUMSUB' or 'NUMSUB', base .. ':to:=')
  return counts.err and 0 or counts[2]
end

-- Reads at most `max` users, which are given in the encoding of an audience. Returns their names, the same users in
-- their encoding, and the position of the next.
local function read_part(users, at, max)
  local names, encoded, count = {}, {}, 0
  while at <= #users and count < max do
    local last = at + 2 + struct.unpack('>I2', users, at + 1)
    count = count + 1
    names[count], encoded[count] = users:sub(at + 3, last), users:sub(at, last)
    at = last + 1
  end
  return names, encoded, at
end

-- Adds a user to each node that has its sockets. A key of another type counts as no sockets. Returns the number of nodes
-- that had no user before.
local function add_nodes(users_on, key, user)
  local sockets, last, new = redis.pcall('ZRANGE', key, 0, -1), nil, 0
  for at = 1, sockets.err and 0 or #sockets do
    local node = sockets[at]:sub(1, 4)
    -- Sockets are sorted by their node.
    if node ~= last then
      local own = users_on[node]
      if own then
        own[#own + 1] = user
      else
        users_on[node], new = { user }, new + 1
      end
      last = node
    end
  end
  return new
end

-- Groups users by the nodes that have their sockets. The second result is true if every node of the project
-- has some; the search stops as soon as that is known. Unless all users are known to be online, one call finds those
-- of a part that are: a client may name a thousand that do not exist.
local function find_nodes(verb, base, count, users, all_online)
  local nodes = count > 1 and count_nodes(verb, base) or 0
  local sockets_of, users_on, found, at, part = base .. ':in:@', {}, 0, 1, PART_FIRST
  while at <= #users do
    local names, encoded
    names, encoded, at = read_part(users, at, part)
    part = math.min(2 * part, PART_MAX)
    local online = all_online or redis.pcall('ZMSCORE', base .. ':users', unpack(names))
    local all = all_online or online.err
    for place, name in ipairs(names) do
      if all or online[place] then
        found = found + add_nodes(users_on, sockets_of .. name, encoded[place])
        if nodes > 0 and found >= nodes then return users_on, true end
      end
    end
  end
  return users_on, false
end

-- Publishes to the nodes of `count` users, which are given in the encoding of an audience. Each node receives
-- an audience with only its own users, between `head` and `tail`; without a tail `head` is the whole message.
-- The node `except` is left out. Returns the number of nodes that receive it.
local function publish_to_users(verb, base, count, users, head, tail, except, all_online)
  local function message_for(some, targets)
    return tail and head .. struct.pack('>I4', some) .. targets .. tail or head
  end
  local users_on, on_all = find_nodes(verb, base, count, users, all_online)
  if on_all then return redis.call(verb, base .. ':to:=', message_for(count, users)) end
  local receivers = 0
  for node, own in pairs(users_on) do
    if node ~= except then
      local hex = node:gsub('.', function(byte) return string.format('%02x', byte:byte()) end)
      receivers = receivers + redis.call(verb, base .. ':to:!' .. hex, message_for(#own, table.concat(own)))
    end
  end
  return receivers
end
