-- Puts down how much may wait, for those who put without being a node. The node that began last has the word, in
-- whatever order nodes say theirs again.
-- KEYS: where it stands. ARGV: when the node began, in ms by this clock, or nothing if it does now; each bound by
-- its name….
-- Returns when the node began.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local began_ms = tonumber(ARGV[1]) or now_ms

local said_by = redis.pcall('HGET', KEYS[1], 'began_ms')
said_by = type(said_by) == 'string' and tonumber(said_by)
-- Who began in the future is no node of this Redis.
if said_by and said_by > began_ms and said_by <= now_ms then return began_ms end

redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'began_ms', string.format('%.0f', began_ms), unpack(ARGV, 2))
return began_ms
