-- Telling the nodes that have sockets of some users, each once.

-- With at least so many users for each node, all nodes may have some of them.
local MANY_FOR_A_NODE = 16

-- How many nodes hear what is for everyone of the project.
local function nodes_that_hear(verb, base)
  local heard = redis.pcall('PUBSUB', verb == 'SPUBLISH' and 'SHARDNUMSUB' or 'NUMSUB', base .. ':to:=')
  return heard.err and 0 or heard[2]
end

-- The nodes with sockets of a user. What is in a target of another type is nobody's socket.
local function nodes_of(base, user)
  local sockets, nodes = redis.pcall('ZRANGE', base .. ':in:@' .. user, 0, -1), {}
  if sockets.err then return nodes end
  for _, socket in ipairs(sockets) do
    local node = socket:sub(1, 4)
    -- Those of one node stand next to one another.
    if node ~= nodes[#nodes] then nodes[#nodes + 1] = node end
  end
  return nodes
end

-- The users by the nodes that have their sockets, and whether that is each node of the project; then it is
-- known long before all users are looked up, and none is looked up any more.
local function find_nodes(verb, base, count, users)
  local nodes = count >= MANY_FOR_A_NODE and nodes_that_hear(verb, base) or 0
  local is_crowd = nodes > 0 and count >= nodes * MANY_FOR_A_NODE
  local users_on, found, at = {}, 0, 1
  while at <= #users do
    local last = at + 2 + struct.unpack('>I2', users, at + 1)
    for _, node in ipairs(nodes_of(base, users:sub(at + 3, last))) do
      if not users_on[node] then users_on[node], found = {}, found + 1 end
      table.insert(users_on[node], users:sub(at, last))
    end
    if is_crowd and found >= nodes then return users_on, true end
    at = last + 1
  end
  return users_on, false
end

-- Publishes to the nodes of so many users, who are written as an audience has them. Each node is told of its
-- own alone: the audience goes between `head` and `tail`; without a tail `head` is all of the message. `but`
-- is a node that need not be told.
local function publish_to_users(verb, base, count, users, head, tail, but)
  local function message_for(some, targets)
    return tail and head .. struct.pack('>I4', some) .. targets .. tail or head
  end
  local users_on, on_all = find_nodes(verb, base, count, users)
  if on_all then return redis.call(verb, base .. ':to:=', message_for(count, users)) end
  for node, own in pairs(users_on) do
    if node ~= but then
      local hex = node:gsub('.', function(byte) return string.format('%02x', byte:byte()) end)
      redis.call(verb, base .. ':to:!' .. hex, message_for(#own, table.concat(own)))
    end
  end
end
