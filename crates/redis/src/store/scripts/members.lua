-- Sockets of one node enter and leave targets of one project, in the order they did.
-- KEYS: index, users, then the members of a target for each change.
-- ARGV: node, then '+' or '-', socket and target for each change.
-- Returns what is left in the index, -1 if the lease is lost.
if redis.call('SISMEMBER', KEYS[1], '.') == 0 then return -1 end
local from, to = '[' .. ARGV[1], '[' .. ARGV[1] .. string.rep('\255', 12)
for i = 3, #KEYS do
  local at = (i - 3) * 3 + 2
  local socket, target = ARGV[at + 1], ARGV[at + 2]
  local user = target:match('^@(.*)')
  if ARGV[at] == '+' then
    redis.call('ZADD', KEYS[i], 0, socket)
    redis.call('SADD', KEYS[1], target)
    if user then redis.call('ZADD', KEYS[2], 0, user) end
  else
    redis.call('ZREM', KEYS[i], socket)
    if redis.call('ZLEXCOUNT', KEYS[i], from, to) == 0 then
      redis.call('SREM', KEYS[1], target)
      if user and redis.call('EXISTS', KEYS[i]) == 0 then redis.call('ZREM', KEYS[2], user) end
    end
  end
end
return redis.call('SCARD', KEYS[1])
