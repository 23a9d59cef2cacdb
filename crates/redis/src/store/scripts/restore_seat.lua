-- Writes again a seat that was taken before Redis lost its data. A shard that has become full meanwhile is
-- exceeded, because the client already has the seat.
-- KEYS: those of seats.lua. ARGV: socket, shard, capacity, number.
if redis.call('SISMEMBER', index, '.') == 0 then return -1 end
local socket, shard, capacity, number = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if seat_of(socket) then return 1 end
if not plan_of(shard) then
  create(shard, capacity, number, number > 0 and redis.call('HINCRBY', meta, 'made', 1) or 0)
end
take(socket, shard, capacity)
return 1
