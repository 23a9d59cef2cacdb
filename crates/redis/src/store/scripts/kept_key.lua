-- The key of the targets of a kept session, with the socket in hexadecimal digits.
local function kept_key(base, socket)
  return base .. ':kept:of:' .. socket:gsub('.', function(byte) return string.format('%02x', byte:byte()) end)
end

