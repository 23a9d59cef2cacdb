-- Ends a claim, if it still stands: with an answer, or as if it had never been.
-- KEYS: the request. ARGV: the claim, and if there is an answer that, and for how many ms.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if #ARGV == 1 then
  return redis.call('DEL', KEYS[1])
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
