-- Drops all that waits for a user, whatever it is. KEYS: those of inbox.lua. ARGV: that of inbox.lua, user.
local user, inbox = ARGV[2], inbox_of(ARGV[2])
local is_list, messages = pcall(front_of, inbox)
if not is_list then messages = {} end
redis.call('DEL', inbox)
took(user, math.floor(#messages / 2), size_of_all(messages), true)
put_down()
return #messages
