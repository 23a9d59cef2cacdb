-- Functions on the history of one room. A message is three elements of the list: when it was appended, in ms, and the
-- size of its name and data; the envelope of its publication up to the position; and its event. Messages are in the order
-- of their offsets, the last of which is `top`.
-- KEYS: the list; a hash with epoch, top, bytes, and the data and the era to which they belong; the era of the project.
-- ARGV: the data of this server, which changes when confirmed writes may be lost; the epoch to begin, if one begins; how
-- long a message is kept, and the hash, in ms; and more.
local list, meta, era_key = KEYS[1], KEYS[2], KEYS[3]
local data_id, next_epoch, age_ms, keep_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local ELEMENTS = 3

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local epoch, top, bytes

-- Begins an epoch unless the hash belongs to this server's data and to the era.
local function open()
  local held = redis.call('HMGET', meta, 'epoch', 'top', 'bytes', 'data', 'era')
  local era = redis.call('GET', era_key) or ''
  if held[1] and held[4] == data_id and held[5] == era then
    epoch, top, bytes = held[1], tonumber(held[2]), tonumber(held[3])
  else
    redis.call('DEL', list)
    epoch, top, bytes = next_epoch, 0, 0
    redis.call('HSET', meta, 'epoch', epoch, 'data', data_id, 'era', era)
  end
end

local function save()
  redis.call('HSET', meta, 'top', top, 'bytes', bytes)
  redis.call('PEXPIRE', meta, keep_ms)
end

local function remove_oldest(head)
  redis.call('LTRIM', list, ELEMENTS, -1)
  bytes = bytes - tonumber(head:sub(14))
end

-- Removes what is too old, or exceeds these bounds. Returns the number of messages.
local function trim(messages_max, bytes_max)
  local count = redis.call('LLEN', list) / ELEMENTS
  while count > 0 do
    local head = redis.call('LINDEX', list, 0)
    if count <= messages_max and bytes <= bytes_max and now_ms - tonumber(head:sub(1, 13)) < age_ms then break end
    remove_oldest(head)
    count = count - 1
  end
  -- The list may have expired as a whole.
  if count == 0 then bytes = 0 end
  return count
end
