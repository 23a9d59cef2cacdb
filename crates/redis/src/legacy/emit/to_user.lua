-- Publishes to the one socket that original nodes store for a user, unless it is on a Switchboard node, which has
-- received the message already. No content of the keys of original nodes may cause an error.
-- KEYS: users. ARGV: user, prefix of Switchboard's instances, channel, message up to the socket's id and from there on.
local entry = redis.pcall('HGET', KEYS[1], ARGV[1])
if type(entry) ~= 'string' then return 0 end
local is_json, known = pcall(cjson.decode, entry)
if not is_json or type(known) ~= 'table' or type(known.socketId) ~= 'string' then return 0 end
local server = type(known.server) == 'string' and known.server or ''
if server:sub(1, #ARGV[2]) == ARGV[2] then return 0 end
return redis.call('PUBLISH', ARGV[3], ARGV[4] .. cjson.encode(known.socketId) .. ARGV[5] .. '}')
