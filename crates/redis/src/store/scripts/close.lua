-- Takes the mark of a lease off a project in which it has nothing else. KEYS: index, mirror.
if redis.call('SCARD', KEYS[1]) == 1 then redis.call('DEL', KEYS[1], KEYS[2]) end
return 1
