-- Whose turn it is to look for what has waited too long. KEYS: the turn. ARGV: how long it is, in ms.
-- Returns 1 for who begins it.
return redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[1]) and 1 or 0
