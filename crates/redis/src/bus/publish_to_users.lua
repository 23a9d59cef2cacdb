-- Publishes to the nodes of some users, and on some channels.
-- KEYS: what names of the project begin with, so that a cluster finds its slot.
-- ARGV: the same, PUBLISH or SPUBLISH, the node that asks, the message up to its targets and behind them, or the
-- message and nothing, how many users, the users as the audience has them, channels….
local base, verb, head, tail = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
publish_to_users(verb, base, tonumber(ARGV[6]), ARGV[7], head, tail ~= '' and tail or nil, ARGV[3])
for at = 8, #ARGV do redis.call(verb, ARGV[at], head) end
return 1
