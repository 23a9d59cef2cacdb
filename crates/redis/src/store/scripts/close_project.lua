-- Removes the mark of a lease from a project in which it has no other entry. KEYS: index, mirror.
if redis.call('SCARD', KEYS[1]) == 1 then redis.call('DEL', KEYS[1], KEYS[2]) end
return 1
