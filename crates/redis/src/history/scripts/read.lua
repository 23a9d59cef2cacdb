-- Reads messages of one room.
-- KEYS and first ARGV: those of log.lua. ARGV: most messages, most bytes; `after` or `before`; the offset; most messages to
-- return.
-- Returns the epoch, the offset of the latest message, the number of messages, the offset of the first returned one, and
-- the elements of the list.
local messages_max, bytes_max = tonumber(ARGV[5]), tonumber(ARGV[6])
local direction, offset, limit = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])

open()
local count = trim(redis.call('LLEN', list) / ELEMENTS, messages_max, bytes_max)
save()
local first = top + 1 - count
local from, to
if direction == 'after' then
  from = math.max(offset + 1, first)
  to = math.min(from + limit - 1, top)
else
  to = math.min(offset - 1, top)
  from = math.max(to - limit + 1, first)
end
local found = {}
if from <= to then
  found = redis.call('LRANGE', list, (from - first) * ELEMENTS, (to - first + 1) * ELEMENTS - 1)
end
return { epoch, top, count, from, found }
