-- Removes undecodable elements from a user's inbox. They are not part of the totals.
-- KEYS: those of inbox.lua. ARGV: that of inbox.lua, user, elements….
local user, inbox = ARGV[2], inbox_of(ARGV[2])
for at = 3, #ARGV do redis.call('LREM', inbox, 1, ARGV[at]) end
if redis.call('EXISTS', inbox) == 0 then count_removed(user, 0, 0, true) end
write_totals()
return 1
