-- Announces the bounds of a node's inboxes, for processes that store messages without being a node. They replace
-- whatever the key held.
-- KEYS: the announced bounds. ARGV: name and value of each bound….
redis.call('DEL', KEYS[1])
return redis.call('HSET', KEYS[1], unpack(ARGV))
