-- Copies of memberships in the format of original emit.gg nodes. Targets are encoded as in key names. Original nodes
-- write to these keys as well, so no content may cause an error.

local function id_text(id)
  local hex = id:gsub('.', function(byte) return string.format('%02x', byte:byte()) end)
  return table.concat({ hex:sub(1, 8), hex:sub(9, 12), hex:sub(13, 16), hex:sub(17, 20), hex:sub(21) }, '-')
end

local function copy_key(prefix, target)
  local sigil = target:sub(1, 1)
  if sigil == '#' then return prefix .. ':room:' .. target end
  if sigil == '*' then return prefix .. ':tag:' .. target end
  if sigil == '@' then return prefix .. ':users' end
  return prefix .. ':sockets'
end

-- The end of an entry: the node, and the current time in the given field.
local function since(id, field)
  local time = redis.call('TIME')
  local ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
  return '"server":"switchboard:' .. id:sub(1, 8) .. '","' .. field .. '":' .. ms .. '}'
end

local function copy_user(key, user, id)
  redis.pcall('HSET', key, user, '{"socketId":"' .. id .. '",' .. since(id, 'onlineAt'))
end

local function copy_enter(prefix, target, socket, ttl_ms)
  local key, id = copy_key(prefix, target), id_text(socket)
  local user = target:match('^@(.*)')
  if user then
    copy_user(key, user, id)
  elseif target == '=' then
    redis.pcall('HSET', key, id, '{' .. since(id, 'connectedAt'))
  else
    redis.pcall('SADD', key, id)
    redis.pcall('PEXPIRE', key, ttl_ms)
  end
end

-- If the user's entry names one of these sockets, it is changed to another one or removed.
local function user_left(key, user, ids, members)
  local entry = redis.pcall('HGET', key, user)
  if type(entry) ~= 'string' then return end
  local is_json, known = pcall(cjson.decode, entry)
  if not is_json or type(known) ~= 'table' then return end
  for _, id in ipairs(ids) do
    if known.socketId == id then
      local other = redis.call('ZRANGE', members, 0, 0)[1]
      if other then return copy_user(key, user, id_text(other)) end
      return redis.pcall('HDEL', key, user)
    end
  end
end

-- Called after the sockets were removed from `members`, Switchboard's own set of the target.
local function copy_leave(prefix, target, sockets, members)
  local key, ids = copy_key(prefix, target), {}
  for i, socket in ipairs(sockets) do ids[i] = id_text(socket) end
  local user = target:match('^@(.*)')
  if user then
    user_left(key, user, ids, members)
  elseif target == '=' then
    redis.pcall('HDEL', key, unpack(ids))
  else
    redis.pcall('SREM', key, unpack(ids))
  end
end

-- Called by ../copies.lua. `settings` are the time to live of sets in ms, and the key prefix of original nodes.
local function emit_copies(settings)
  local ttl_ms, prefix = settings:match('^(%d+) (.*)$')
  return {
    enter = function(target, socket) copy_enter(prefix, target, socket, ttl_ms) end,
    leave = function(target, sockets, members) copy_leave(prefix, target, sockets, members) end,
  }
end
