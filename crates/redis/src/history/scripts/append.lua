-- Numbers messages to one room, keeps them, and publishes them to every node with a member.
-- KEYS and first ARGV: those of log.lua. ARGV: most messages, most bytes; PUBLISH or SPUBLISH; the channel; for each message
-- its size, the envelope up to its position, and its event.
-- Returns the epoch and the offset of the last message.
local messages_max, bytes_max, verb, channel = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]
local FIRST = 9
local HALF = 4294967296
-- How much more than the bounds the list may have.
local SLACK = 1.125

open()
local elements, size = {}, 0
for at = FIRST, #ARGV, ELEMENTS do
  elements[at - FIRST + 1] = string.format('%013d%s', now_ms, ARGV[at])
  elements[at - FIRST + 2] = ARGV[at + 1]
  elements[at - FIRST + 3] = ARGV[at + 2]
  size = size + tonumber(ARGV[at])
end
-- The first write: Redis refuses it if it has no memory, and nothing is published then.
local length = redis.call('RPUSH', list, unpack(elements))
bytes = bytes + size
if length == #elements then
  -- There was no list, or it has expired.
  bytes, oldest_ms, oldest_size, expires_ms = size, now_ms, tonumber(ARGV[FIRST]), 0
end
for at = FIRST, #ARGV, ELEMENTS do
  top = top + 1
  local offset = struct.pack('>I4I4', math.floor(top / HALF), top % HALF)
  redis.call(verb, channel, ARGV[at + 1] .. epoch .. offset .. ARGV[at + 2])
end
local count = length / ELEMENTS
-- A part at once, which costs less than one for each message; a read removes the rest.
if count > SLACK * messages_max or bytes > SLACK * bytes_max or now_ms - oldest_ms >= SLACK * age_ms then
  count = trim(count, messages_max, bytes_max)
end
if count > 0 and expires_ms < now_ms + age_ms then
  -- Longer than needed, so that it is not set for each message.
  local life_ms = math.floor(age_ms * 1.25)
  redis.call('PEXPIRE', list, string.format('%.0f', life_ms))
  expires_ms = now_ms + life_ms
end
save()
return { epoch, top }
