-- Ends a claim that is still held: stores the response, or removes the request.
-- KEYS: the request. ARGV: the claim; with a response, the response and its lifetime in ms.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if #ARGV == 1 then
  return redis.call('DEL', KEYS[1])
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
