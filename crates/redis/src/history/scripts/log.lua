-- Functions on the history of one room. A message is three elements of the list: when it was appended, in ms, and the
-- size of its name and data; the envelope of its publication up to the position; and its event. Messages are in the order
-- of their offsets, the last of which is `top`. One string has everything else, so that a call reads and writes it at once.
-- KEYS: the list; the string, with epoch, top, bytes, time and size of the oldest message, when the list expires, and the data and
-- the era to which they belong; the era of the project.
-- ARGV: the data of this server, which changes when confirmed writes may be lost; the epoch to begin, if one begins; how
-- long a message is kept, and the string, in ms; and more.
local list, meta, era_key = KEYS[1], KEYS[2], KEYS[3]
local data_id, next_epoch, age_ms, keep_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local ELEMENTS = 3

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local epoch, top, bytes, oldest_ms, oldest_size, expires_ms, era

-- Begins an epoch unless the string belongs to this server's data and to the era.
local function open()
  local held = redis.call('MGET', meta, era_key)
  era = held[2] or ''
  if held[1] then
    local data, held_era
    epoch, top, bytes, oldest_ms, oldest_size, expires_ms, data, held_era = cmsgpack.unpack(held[1])
    if data == data_id and held_era == era then return end
  end
  redis.call('DEL', list)
  epoch, top, bytes, oldest_ms, oldest_size, expires_ms = next_epoch, 0, 0, 0, 0, 0
end

local function save()
  local held = cmsgpack.pack(epoch, top, bytes, oldest_ms, oldest_size, expires_ms, data_id, era)
  redis.call('SET', meta, held, 'PX', keep_ms)
end

-- Removes the messages of the list that are too old, or exceed these bounds. Returns how many of `count` are left.
local function trim(count, messages_max, bytes_max)
  local removed = 0
  while removed < count and (count - removed > messages_max or bytes > bytes_max or now_ms - oldest_ms >= age_ms) do
    removed, bytes = removed + 1, bytes - oldest_size
    if removed < count then
      local head = redis.call('LINDEX', list, removed * ELEMENTS)
      oldest_ms, oldest_size = tonumber(head:sub(1, 13)), tonumber(head:sub(14))
    end
  end
  if removed > 0 then redis.call('LTRIM', list, removed * ELEMENTS, -1) end
  -- The list may have expired as a whole.
  if removed == count then bytes = 0 end
  return count - removed
end
