-- Drops all that waits for a user, whatever it is. KEYS: those of inbox.lua. ARGV: that of inbox.lua, user.
local user, inbox = ARGV[2], inbox_of(ARGV[2])
local messages = redis.pcall('LRANGE', inbox, 0, -1)
if messages.err then messages = {} end
redis.call('DEL', inbox)
took(user, #messages, size_of_all(messages), true)
put_down()
return #messages
