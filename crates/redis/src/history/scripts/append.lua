-- Numbers messages to one room, keeps them, and publishes them to every node with a member.
-- KEYS and first ARGV: those of log.lua. ARGV: most messages, most bytes; PUBLISH or SPUBLISH; the channel; for each message
-- its size, the envelope up to its position, and its event.
-- Returns the epoch and the offset of the last message.
local messages_max, bytes_max, verb, channel = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]
local FIRST = 9
local HALF = 4294967296

open()
for at = FIRST, #ARGV, ELEMENTS do
  local size, head, event = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  top, bytes = top + 1, bytes + tonumber(size)
  redis.call('RPUSH', list, string.format('%013d%s', now_ms, size), head, event)
  local offset = struct.pack('>I4I4', math.floor(top / HALF), top % HALF)
  redis.call(verb, channel, head .. epoch .. offset .. event)
end
trim(messages_max, bytes_max)
redis.call('PEXPIRE', list, age_ms)
save()
return { epoch, top }
