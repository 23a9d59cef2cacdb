-- Takes the mark of a lease off a project in which it has nothing else. KEYS: index.
if redis.call('SCARD', KEYS[1]) == 1 then redis.call('DEL', KEYS[1]) end
return 1
