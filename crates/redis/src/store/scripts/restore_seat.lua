-- Writes again a seat that was taken before Redis lost its data. A shard that has become full meanwhile is
-- exceeded, because the client already has the seat.
-- KEYS: those of seats.lua. ARGV: socket, shard, capacity, number.
if redis.call('SISMEMBER', index, '.') == 0 then return -1 end
local socket, shard, capacity, number = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if seat_of(socket) then return 1 end
if not plan_of(shard) then
  local age = 0
  if number > 0 then
    age = redis.call('HINCRBY', meta, 'made', 1)
    local last = number_of(meta, 'last')
    for skipped = last + 1, number - 1 do
      redis.call('ZADD', free, skipped, string.format('%.0f', skipped))
    end
    redis.call('HSET', meta, 'last', math.max(last, number))
    redis.call('ZREM', free, string.format('%.0f', number))
  end
  set_plan(shard, capacity, number, age)
end
take(socket, shard, capacity)
return 1
