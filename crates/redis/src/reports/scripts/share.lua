-- Renews a worker's lease, frees the partitions that it releases, and assigns free partitions up to its share.
-- KEYS: groups, partitions, workers, owners.
-- ARGV: PUBLISH or SPUBLISH, channel, group, worker, lease in ms, lifetime of a group without workers in ms,
-- default number of partitions, released partitions….
-- Returns {now, size of its share, its partitions…}; a partition has the prefix `!` if the lease of its previous
-- owner expired.
local verb, channel, group, me = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now = clock()
redis.call('SETNX', KEYS[2], ARGV[7])
local partitions = tonumber(redis.call('GET', KEYS[2]))
local changed = remove_expired(KEYS[3], KEYS[4], now)
redis.call('ZADD', KEYS[1], now + ARGV[6], group)
changed = redis.call('ZADD', KEYS[3], now + ARGV[5], me) == 1 or changed
for i = 8, #ARGV do
  if redis.call('HGET', KEYS[4], ARGV[i]) == me then
    redis.call('HDEL', KEYS[4], ARGV[i], '!' .. ARGV[i])
    changed = true
  end
end

local names = redis.call('ZRANGE', KEYS[3], 0, -1)
table.sort(names)
local rank = 0
for place, name in ipairs(names) do
  if name == me then rank = place - 1 end
end
local share = math.floor(partitions / #names)
if rank < partitions % #names then share = share + 1 end

local owners, mine = {}, 0
local entries = redis.call('HGETALL', KEYS[4])
for i = 1, #entries, 2 do
  owners[entries[i]] = entries[i + 1]
  if entries[i + 1] == me then mine = mine + 1 end
end
local answer = { now, share }
for n = 0, partitions - 1 do
  local partition = tostring(n)
  if not owners[partition] and mine < share then
    redis.call('HSET', KEYS[4], partition, me)
    owners[partition] = me
    mine = mine + 1
  end
  if owners[partition] == me then
    answer[#answer + 1] = (owners['!' .. partition] and '!' or '') .. partition
  end
end
if changed then announce(verb, channel, group) end
return answer
