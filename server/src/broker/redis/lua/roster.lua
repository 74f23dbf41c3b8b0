-- Reads a page of a channel's entries, each with its user's record.
--
-- KEYS: meta of the partition, entries, users.
-- ARGV: lineage, gen, cursor, count.
-- Answers: LINEAGE gen, or a list: the version that it was read at, the next cursor ("0": none), then session, entry and
-- record of each.

local part = load_part(KEYS[1])
if not is_settled(part, ARGV[1], ARGV[2]) then
  return unsettled(part)
end
local page = redis.call('HSCAN', KEYS[2], ARGV[3], 'COUNT', ARGV[4])
local out = { tostring(part.pseq), page[1] }
for index = 1, #page[2], 2 do
  local session, raw = page[2][index], page[2][index + 1]
  local entry = unpack_entry(raw)
  local record = entry and redis.call('HGET', KEYS[3], entry.user)
  if record then
    out[#out + 1] = session
    out[#out + 1] = raw
    out[#out + 1] = record
  end
end
return out
