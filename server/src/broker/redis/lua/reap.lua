-- Removes what a dead node owns in some channels of a partition, one step of each; entries with a deadline stay until
-- it is over. Twice the same does nothing.
--
-- KEYS: meta, stream, channels with entries, then entries and users of each channel.
-- ARGV: lineage, gen, seed, node, count, then channel and cursor of each.
-- Answers: LINEAGE gen, or a list: ms until the earliest deadline (""; none), then the next cursor of each ("0": none).

local part = load_part(KEYS[1])
if not is_settled(part, ARGV[1], ARGV[2]) then
  return unsettled(part)
end
local seed, node, count = ARGV[3], ARGV[4], ARGV[5]
local frames, cursors, earliest = {}, {}, nil

for key = 4, #KEYS, 2 do
  local room = open_room(KEYS[key], KEYS[key + 1])
  local channel, cursor = ARGV[key + 2], ARGV[key + 3]
  local page = redis.call('HSCAN', KEYS[key], cursor, 'COUNT', count)
  local told = {}
  for index = 1, #page[2], 2 do
    local session = page[2][index]
    local entry = unpack_entry(page[2][index + 1])
    if entry and entry.owner == node then
      if entry.till > now_ms then
        earliest = math.min(earliest or entry.till, entry.till)
      elseif room.entries.values[session] == nil then
        -- A scan may name an entry twice.
        told[#told + 1] = remove_entry(room, session, entry, 'r')
      end
    end
  end
  if #told > 0 then
    frames[#frames + 1] = frame('P ' .. channel, table.concat(told))
    close_room(room, KEYS[3], channel)
  end
  cursors[#cursors + 1] = page[1]
end

if #frames > 0 then
  local all = table.concat(frames)
  post(KEYS[2], part, seed, all)
  part.bytes = part.bytes + #all
  save_part(KEYS[1], part)
end
return { earliest and tostring(earliest - now_ms) or '', unpack(cursors) }
