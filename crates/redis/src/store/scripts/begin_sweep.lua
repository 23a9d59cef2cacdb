-- Ends the right of an expired lease to write in a project, and selects the sessions that are kept for their clients:
-- not more than the bound, and none if presence is copied for original servers, which know no detached sessions.
-- KEYS: index, tombstone, mirror, sessions, cursors, kept. ARGV: lifetime of the tombstone in ms, most sessions.
-- Returns {number of sessions that were not kept, 1 if there may be more of them}.
redis.call('SET', KEYS[2], '', 'PX', ARGV[1])
redis.call('SREM', KEYS[1], '.')
if redis.call('HEXISTS', KEYS[5], '') == 1 then return { 0, 0 } end
if redis.call('EXISTS', KEYS[3]) == 1 then redis.call('UNLINK', KEYS[4]) end
local count = redis.call('HLEN', KEYS[4])
local excess = math.min(count, count + redis.call('HLEN', KEYS[6]) - tonumber(ARGV[2]))
if excess > 0 then
  local dropped = redis.call('HRANDFIELD', KEYS[4], math.min(excess, 1000))
  redis.call('HDEL', KEYS[4], unpack(dropped))
  if excess > #dropped then return { #dropped, 1 } end
end
-- From now on the entries of these sessions stay.
if count > 0 then redis.call('HSET', KEYS[5], '', '') end
return { math.max(excess, 0), 0 }
