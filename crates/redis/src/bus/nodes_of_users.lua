-- Publishing once to each node that has sockets of some users.

-- The number of nodes that subscribe to the project's channel for everyone.
local function count_nodes(verb, base)
  local counts = redis.pcall('PUBSUB', verb == 'SPUBLISH' and 'SHARDNUMSUB' or 'NUMSUB', base .. ':to:=')
  return counts.err and 0 or counts[2]
end

-- The nodes with sockets of a user. A key of another type counts as no sockets.
local function nodes_of(base, user)
  local sockets, nodes = redis.pcall('ZRANGE', base .. ':in:@' .. user, 0, -1), {}
  if sockets.err then return nodes end
  for _, socket in ipairs(sockets) do
    local node = socket:sub(1, 4)
    -- Sockets are sorted by their node.
    if node ~= nodes[#nodes] then nodes[#nodes + 1] = node end
  end
  return nodes
end

-- Groups users by the nodes that have their sockets. The second result is true if every node of the project
-- has some; the search stops as soon as that is known.
local function find_nodes(verb, base, count, users)
  local nodes = count > 1 and count_nodes(verb, base) or 0
  local users_on, found, at = {}, 0, 1
  while at <= #users do
    local last = at + 2 + struct.unpack('>I2', users, at + 1)
    for _, node in ipairs(nodes_of(base, users:sub(at + 3, last))) do
      if not users_on[node] then users_on[node], found = {}, found + 1 end
      table.insert(users_on[node], users:sub(at, last))
    end
    if nodes > 0 and found >= nodes then return users_on, true end
    at = last + 1
  end
  return users_on, false
end

-- Publishes to the nodes of `count` users, which are given in the encoding of an audience. Each node receives
-- an audience with only its own users, between `head` and `tail`; without a tail `head` is the whole message.
-- The node `except` is left out. Returns the number of nodes that receive it.
local function publish_to_users(verb, base, count, users, head, tail, except)
  local function message_for(some, targets)
    return tail and head .. struct.pack('>I4', some) .. targets .. tail or head
  end
  local users_on, on_all = find_nodes(verb, base, count, users)
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
