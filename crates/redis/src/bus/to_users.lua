-- Publishes to the nodes of some users, and on some channels.
-- KEYS: what names of the project begin with, so that a cluster finds its slot.
-- ARGV: the same, PUBLISH or SPUBLISH, the node that asks, the message up to the audience and behind it, or the
-- message and nothing, how many users, the users as the audience has them, channels….
local base, verb, head, tail, count, users = ARGV[1], ARGV[2], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7]

-- With fewer users for each node than this, their nodes are found. With more, most nodes have some of
-- them, and to find out which costs more than what the others have to skip.
local MANY_FOR_A_NODE = 16

-- How many nodes hear what is for everyone; 0 if that cannot be told.
local function nodes_that_hear(channel)
  local heard = redis.pcall('PUBSUB', verb == 'SPUBLISH' and 'SHARDNUMSUB' or 'NUMSUB', channel)
  return heard.err and 0 or heard[2]
end

local everyone = base .. ':to:='
local nodes = nodes_that_hear(everyone)
if nodes > 0 and count >= nodes * MANY_FOR_A_NODE then
  local message = tail == '' and head or head .. struct.pack('>I4', count) .. users .. tail
  redis.call(verb, everyone, message)
else
  local at = 1
  while at <= #users do
    local last = at + 2 + struct.unpack('>I2', users, at + 1)
    note_nodes(base, users:sub(at + 3, last))
    at = last + 1
  end
  users_on[ARGV[3]] = nil
  if tail ~= '' then
    publish_to_nodes(verb, base, head, tail)
  else
    for node in pairs(users_on) do tell_node(verb, base, node, head) end
  end
end
for at = 8, #ARGV do redis.call(verb, ARGV[at], head) end
return 1
