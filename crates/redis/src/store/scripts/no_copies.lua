-- Takes the place of legacy/copies.lua where presence is not copied for original servers.
local function copies_of() return {} end
