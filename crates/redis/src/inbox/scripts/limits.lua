-- Announces the bounds of a node's inboxes, for processes that store messages without being a node. The bounds of
-- the node that started last win, in whatever order nodes announce theirs.
-- KEYS: the announced bounds. ARGV: start time of the node, or '' if it starts now; name and value of each bound….
-- Returns the start time of the node.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local started_ms = tonumber(ARGV[1]) or now_ms

local announced_ms = redis.pcall('HGET', KEYS[1], 'began_ms')
announced_ms = type(announced_ms) == 'string' and tonumber(announced_ms)
-- A start time in the future is invalid.
if announced_ms and announced_ms > started_ms and announced_ms <= now_ms then return started_ms end

redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'began_ms', string.format('%.0f', started_ms), unpack(ARGV, 2))
return started_ms
