-- Drops all that waits for a user, whatever it is. KEYS: those of inbox.lua. ARGV: that of inbox.lua, user.
local inbox = inbox_of(ARGV[2])
local count, bytes = redis.pcall('ZCARD', inbox), redis.call('HGET', bytes_of, ARGV[2]) or 0
if type(count) ~= 'number' then count = 0 end
redis.call('DEL', inbox)
account(ARGV[2], inbox, 0 - count, 0 - bytes)
return count
