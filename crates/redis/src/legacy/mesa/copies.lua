-- Copies of presence in the format of original Mesa servers: a set of users and a number of connections. Original
-- servers write to these keys as well, so the number of sockets of each user is in a hash of Switchboard's own, and no
-- content may cause an error.
-- `suffix` is the suffix of the original servers' key names, `base` the prefix of the project's names.
local function mesa_copies(suffix, base)
  local online, connections, counts = 'connected_clients' .. suffix, 'connected_clients_count' .. suffix, base .. ':connected'

  local function count_connections(by)
    local now = redis.pcall('INCRBY', connections, by)
    -- The key was deleted in the meantime.
    if type(now) == 'number' and now < 0 then redis.pcall('SET', connections, 0) end
  end

  local function count_sockets(user, by)
    if redis.call('HINCRBY', counts, user, by) > 0 then
      if by > 0 then redis.pcall('SADD', online, user) end
    else
      redis.call('HDEL', counts, user)
      redis.pcall('SREM', online, user)
    end
  end

  local function count(target, by)
    if target == '=' then return count_connections(by) end
    local user = target:match('^@(.*)')
    if user then count_sockets(user, by) end
  end

  return {
    enter = function(target, _, is_new) if is_new then count(target, 1) end end,
    leave = function(target, sockets) count(target, -#sockets) end,
  }
end
