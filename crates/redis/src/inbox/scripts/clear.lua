-- Removes all stored messages of a user, even if the key has the wrong type.
-- KEYS: those of inbox.lua. ARGV: that of inbox.lua, user.
local user, inbox = ARGV[2], inbox_of(ARGV[2])
local is_list, messages = pcall(front_of, inbox)
if not is_list then messages = {} end
redis.call('DEL', inbox)
count_removed(user, math.floor(#messages / 2), size_of_all(messages), true)
write_totals()
return #messages
