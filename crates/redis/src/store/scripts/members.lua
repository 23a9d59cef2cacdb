-- Sockets of one node enter and leave targets of one project, in the order they did. Copies of that are
-- written by what copies_of() finds.
-- KEYS: index, users, mirror, then the members of a target for each change.
-- ARGV: node, the project's key, then '+' or '-', socket and target for each change.
-- Returns what is left in the index, -1 if the lease is lost; behind it how many changes were refused, if any.
if redis.call('SISMEMBER', KEYS[1], '.') == 0 then return -1 end
local from, to = '[' .. ARGV[1], '[' .. ARGV[1] .. string.rep('\255', 12)
local copies = copies_of(KEYS[3], ARGV[2])

local function enter(members, socket, target)
  local is_new = redis.call('ZADD', members, 0, socket) == 1
  redis.call('SADD', KEYS[1], target)
  local user = target:match('^@(.*)')
  if user then redis.call('ZADD', KEYS[2], 0, user) end
  for _, copy in ipairs(copies) do copy.enter(target, socket, is_new) end
end

local function leave(members, socket, target)
  local was_in = redis.call('ZREM', members, socket) == 1
  if redis.call('ZLEXCOUNT', members, from, to) == 0 then
    redis.call('SREM', KEYS[1], target)
    local user = target:match('^@(.*)')
    if user and redis.call('EXISTS', members) == 0 then redis.call('ZREM', KEYS[2], user) end
  end
  if not was_in then return end
  for _, copy in ipairs(copies) do copy.leave(target, { socket }, members) end
end

local refused = 0
for i = 4, #KEYS do
  local at = (i - 4) * 3 + 3
  local change = ARGV[at] == '+' and enter or leave
  local is_done, why = pcall(change, KEYS[i], ARGV[at + 1], ARGV[at + 2])
  if not is_done then
    -- A target whose key holds something else, which is found before anything is written, costs no other target.
    if not tostring(why.err or why):find('WRONGTYPE') then error(why) end
    refused = refused + 1
  end
end
local left = redis.call('SCARD', KEYS[1])
return refused > 0 and { left, refused } or left
