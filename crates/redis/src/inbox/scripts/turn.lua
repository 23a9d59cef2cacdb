-- Gives one node the turn to remove expired messages. KEYS: the turn. ARGV: its length in ms.
-- Returns 1 if the turn begins with this call.
return redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[1]) and 1 or 0
