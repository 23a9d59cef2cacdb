-- Locks the removal of expired messages for one node. KEYS: the lock. ARGV: its length in ms.
-- Returns 1 if this call has locked it.
return redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[1]) and 1 or 0
