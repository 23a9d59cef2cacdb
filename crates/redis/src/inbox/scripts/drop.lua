-- Takes out of a user's inbox what nobody can read. KEYS: those of inbox.lua. ARGV: that of inbox.lua, user, what
-- stands there….
-- Returns how much was there.
local dropped = 0
for at = 3, #ARGV do
  if take_out(ARGV[2], inbox_of(ARGV[2]), ARGV[at]) then dropped = dropped + 1 end
end
put_down()
return dropped
