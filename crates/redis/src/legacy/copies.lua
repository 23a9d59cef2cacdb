-- Copies of presence for original servers, of every kind that the mirror of a lease names.
local copiers = { emit = emit_copies, mesa = mesa_copies }

-- The writers of the copies. Each has enter(target, socket, whether the socket is new there), and
-- leave(target, sockets, members), which is called after the sockets were removed from `members`, our own set of the
-- target. `base` is the prefix of the project's own names.
local function copies_of(mirror, base)
  local found, entries = {}, redis.call('HGETALL', mirror)
  for i = 1, #entries, 2 do
    local copier = copiers[entries[i]]
    if copier then found[#found + 1] = copier(entries[i + 1], base) end
  end
  return found
end
