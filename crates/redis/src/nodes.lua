-- Which nodes have sockets of some users, and telling each of them once.
local users_on = {}

-- What is in a target of another type is nobody's socket.
local function note_nodes(base, user)
  local sockets = redis.pcall('ZRANGE', base .. ':in:@' .. user, 0, -1)
  if sockets.err then return end
  local last
  for _, socket in ipairs(sockets) do
    local node = socket:sub(1, 4)
    if node ~= last then
      last = node
      local users = users_on[node] or {}
      users[#users + 1] = '@' .. struct.pack('>I2', #user) .. user
      users_on[node] = users
    end
  end
end

local function tell_node(verb, base, node, message)
  local hex = node:gsub('.', function(byte) return string.format('%02x', byte:byte()) end)
  redis.call(verb, base .. ':to:!' .. hex, message)
end

-- Each node is told of its own users alone: the audience is between `head` and `tail`.
local function publish_to_nodes(verb, base, head, tail)
  for node, users in pairs(users_on) do
    tell_node(verb, base, node, head .. struct.pack('>I4', #users) .. table.concat(users) .. tail)
  end
end
