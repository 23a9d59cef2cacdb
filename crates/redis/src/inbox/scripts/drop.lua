-- Takes out of a user's inbox what nobody can read, which is not accounted for. KEYS: those of inbox.lua.
-- ARGV: that of inbox.lua, user, what stands there….
local user, inbox = ARGV[2], inbox_of(ARGV[2])
for at = 3, #ARGV do redis.call('LREM', inbox, 1, ARGV[at]) end
if redis.call('EXISTS', inbox) == 0 then took(user, 0, 0, true) end
put_down()
return 1
