-- Writes a seat that a node gave before the store lost it. A shard that is full meanwhile takes it in
-- all the same: the client sits there.
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
sit_down(socket, shard, capacity)
return 1
