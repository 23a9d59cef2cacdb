-- Copies of presence for legacy servers, of every kind that a lease has in its mirror.
local copiers = { emit = emit_copies, mesa = mesa_copies }

-- The writers of the copies. Each has enter(target, socket, whether the socket is new there), and
-- leave(target, sockets, members), which is called after the sockets were removed from `members`, our own set of the
-- target. `base` is the prefix of the project's own names.
local function copies_of(mirror, base)
  local found, noted = {}, redis.call('HGETALL', mirror)
  for i = 1, #noted, 2 do
    local copier = copiers[noted[i]]
    if copier then found[#found + 1] = copier(noted[i + 1], base) end
  end
  return found
end
