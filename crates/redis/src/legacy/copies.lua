-- Copies for originals, of every kind that a lease has noted in its mirror.
local copiers = { emit = emit_copies, mesa = mesa_copies }

-- What writes them: each with enter(target, socket, whether it was not in) and, when they are no longer
-- in members, the target's own set, leave(target, sockets, members). Base begins the project's own keys.
local function copies_of(mirror, base)
  local found, noted = {}, redis.call('HGETALL', mirror)
  for i = 1, #noted, 2 do
    local copier = copiers[noted[i]]
    if copier then found[#found + 1] = copier(noted[i + 1], base) end
  end
  return found
end
