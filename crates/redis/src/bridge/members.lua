-- Copies what members.lua has just written.
-- KEYS and ARGV: those of members.lua; behind them in ARGV the originals' prefix, and how long sets
-- stand in ms.
-- Returns what is left in the index, -1 if the lease is lost.
if redis.call('SISMEMBER', KEYS[1], '.') == 0 then return -1 end
local prefix, stand_ms = ARGV[#ARGV - 1], ARGV[#ARGV]
for i = 3, #KEYS do
  local at = (i - 3) * 3 + 2
  local socket, target = ARGV[at + 1], ARGV[at + 2]
  if ARGV[at] == '+' then
    mirror_enter(prefix, target, socket, stand_ms)
  else
    mirror_leave(prefix, target, { socket }, KEYS[i])
  end
end
return redis.call('SCARD', KEYS[1])
