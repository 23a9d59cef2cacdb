-- Adds sockets of one node to targets of one project and removes them, in the given order, or writes the records with
-- which other nodes can resume their sessions. The copies that copies_of() returns are updated as well.
-- KEYS: index, users, rooms, mirror, kept, ends of kept, sessions, then for each change the members of its target.
-- ARGV: node, prefix of the project's names, then for each change '+' or '-', socket, target; or '=', socket, record,
-- with the key of the sessions.
-- Returns the size of the index, -1 if the lease is lost; or {size, number of refused changes} if any was
-- refused.
if redis.call('SISMEMBER', KEYS[1], '.') == 0 then return -1 end
local from, to = '[' .. ARGV[1], '[' .. ARGV[1] .. string.rep('\255', 12)
local copies = copies_of(KEYS[4], ARGV[2])

local function enter(members, socket, target)
  local is_new = redis.call('ZADD', members, 0, socket) == 1
  redis.call('SADD', KEYS[1], target)
  if target:sub(1, 1) == '#' then redis.call('ZADD', KEYS[3], 0, target) end
  local user = target:match('^@(.*)')
  if user then redis.call('ZADD', KEYS[2], 0, user) end
  for _, copy in ipairs(copies) do copy.enter(target, socket, is_new) end
end

-- If another node has kept the session meanwhile, this node holds it again.
local function record(sessions, socket, content)
  redis.call('HSET', sessions, socket, content)
  if redis.call('HDEL', KEYS[5], socket) == 1 then
    redis.call('ZREM', KEYS[6], socket)
    redis.call('DEL', kept_key(ARGV[2], socket))
  end
end

local function leave(members, socket, target)
  if target == '=' then redis.call('HDEL', KEYS[7], socket) end
  local was_in = redis.call('ZREM', members, socket) == 1
  if redis.call('ZLEXCOUNT', members, from, to) == 0 then
    redis.call('SREM', KEYS[1], target)
    local user = target:match('^@(.*)')
    if redis.call('EXISTS', members) == 0 then
      if user then redis.call('ZREM', KEYS[2], user) end
      if target:sub(1, 1) == '#' then redis.call('ZREM', KEYS[3], target) end
    end
  end
  if not was_in then return end
  for _, copy in ipairs(copies) do copy.leave(target, { socket }, members) end
end

local refused = 0
local changes = { ['+'] = enter, ['-'] = leave, ['='] = record }
for i = 8, #KEYS do
  local at = (i - 8) * 3 + 3
  local change = changes[ARGV[at]]
  local ok, reason = pcall(change, KEYS[i], ARGV[at + 1], ARGV[at + 2])
  if not ok then
    -- A key of the wrong type is found before the change writes anything. It must not stop other changes.
    if not tostring(reason.err or reason):find('WRONGTYPE') then error(reason) end
    refused = refused + 1
  end
end
local left = redis.call('SCARD', KEYS[1])
return refused > 0 and { left, refused } or left
