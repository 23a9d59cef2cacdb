-- Publishes to sockets of original nodes: to the one socket that they store for each of some users, and to each of
-- some sockets that they know. Sockets on Switchboard nodes have received the message already. No content of the keys
-- of original nodes may cause an error.
-- KEYS: users, sockets. ARGV: prefix of Switchboard's instances, channel, message up to the socket's id and from there
-- on, number of users, users…, sockets….
local prefix, channel, head, tail, users = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local FIRST = 6

-- The entry of a client on an original node, or nil.
local function original_client(entry)
  if type(entry) ~= 'string' then return nil end
  local is_json, client = pcall(cjson.decode, entry)
  if not is_json or type(client) ~= 'table' then return nil end
  local server = type(client.server) == 'string' and client.server or ''
  if server:sub(1, #prefix) == prefix then return nil end
  return client
end

local function for_each_original_client(key, first, last, act)
  if first > last then return end
  local entries = redis.pcall('HMGET', key, unpack(ARGV, first, last))
  if entries.err then return end
  for index = 1, last - first + 1 do
    local client = original_client(entries[index])
    if client then act(client, ARGV[first + index - 1]) end
  end
end

local published = 0
local function publish(id)
  if type(id) ~= 'string' then return end
  published = published + redis.call('PUBLISH', channel, head .. cjson.encode(id) .. tail .. '}')
end

for_each_original_client(KEYS[1], FIRST, FIRST + users - 1, function(client) publish(client.socketId) end)
for_each_original_client(KEYS[2], FIRST + users, #ARGV, function(_, id) publish(id) end)
return published
