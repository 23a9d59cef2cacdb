-- Publishes to the nodes of some users, and on some other channels.
-- KEYS: the prefix of the project's names, so that a cluster finds the slot.
-- ARGV: the same prefix; PUBLISH or SPUBLISH; the publishing node; the message up to its targets and the rest
-- behind them, or the whole message and ''; the number of users; the users in the encoding of an audience;
-- other channels…. Returns the number of receiving nodes, some of which may be counted twice.
local base, verb, head, tail, count = ARGV[1], ARGV[2], ARGV[4], ARGV[5], tonumber(ARGV[6])
local receivers = publish_to_users(verb, base, count, ARGV[7], head, tail ~= '' and tail or nil, ARGV[3])
for at = 8, #ARGV do receivers = receivers + redis.call(verb, ARGV[at], head) end
return receivers
