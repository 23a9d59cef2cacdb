-- Publishes to the nodes of some users, and on some channels.
-- KEYS: what names of the project begin with, so that a cluster finds its slot.
-- ARGV: the same, PUBLISH or SPUBLISH, the node that asks, the message up to the audience and behind it, or the
-- message and nothing, how many channels there are, the channels, users….
local base, verb, head, tail = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
local users_at = 7 + ARGV[6]
for at = users_at, #ARGV do note_nodes(base, ARGV[at]) end
users_on[ARGV[3]] = nil
if tail ~= '' then
  publish_to_nodes(verb, base, head, tail)
else
  for node in pairs(users_on) do tell_node(verb, base, node, head) end
end
for at = 7, users_at - 1 do redis.call(verb, ARGV[at], head) end
return 1
