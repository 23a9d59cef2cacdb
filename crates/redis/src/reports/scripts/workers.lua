-- What scripts of worker groups share. Times are in ms by the clock of Redis.
-- Of a group: `:work:workers:<group>` holds the end of each worker's lease, `:work:owners:<group>` which
-- worker has which partition, and `!<partition>` if whoever had it before died with it.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Says to workers and nodes that something about a group has changed.
local function tell(verb, channel, group)
  redis.call(verb, channel, group)
end

-- Takes a worker's partitions from it. Those that are not `clean` may have been worked on.
local function free(owners, worker, clean)
  local entries = redis.call('HGETALL', owners)
  for i = 1, #entries, 2 do
    local partition = entries[i]
    if entries[i + 1] == worker then
      redis.call('HDEL', owners, partition)
      if clean[partition] then
        redis.call('HDEL', owners, '!' .. partition)
      else
        redis.call('HSET', owners, '!' .. partition, '')
      end
    end
  end
end

-- Takes out the workers of a group whose leases have ended. Returns whether there were any.
local function expel(workers, owners, now)
  local dead = redis.call('ZRANGE', workers, '-inf', '(' .. now, 'BYSCORE')
  for _, worker in ipairs(dead) do
    free(owners, worker, {})
    redis.call('ZREM', workers, worker)
  end
  return #dead > 0
end
