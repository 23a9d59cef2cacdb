-- Functions that the scripts of worker groups share. Times are in ms of Redis' clock.
-- `:work:workers:<group>` holds the end of each worker's lease. `:work:owners:<group>` holds the owner of each
-- partition, and `!<partition>` if the lease of its previous owner expired.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Notifies workers and nodes of a change of a group.
local function announce(verb, channel, group)
  redis.call(verb, channel, group)
end

-- Frees the partitions of a worker. Reports of those that are not `settled` may have been handled.
local function free(owners, worker, settled)
  local entries = redis.call('HGETALL', owners)
  for i = 1, #entries, 2 do
    local partition = entries[i]
    if entries[i + 1] == worker then
      redis.call('HDEL', owners, partition)
      if settled[partition] then
        redis.call('HDEL', owners, '!' .. partition)
      else
        redis.call('HSET', owners, '!' .. partition, '')
      end
    end
  end
end

-- Removes the workers of a group whose leases have expired. Returns true if there were any.
local function remove_expired(workers, owners, now)
  local dead = redis.call('ZRANGE', workers, '-inf', '(' .. now, 'BYSCORE')
  for _, worker in ipairs(dead) do
    free(owners, worker, {})
    redis.call('ZREM', workers, worker)
  end
  return #dead > 0
end
