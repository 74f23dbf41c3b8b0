-- Changes who is in channels, in a batch of its own; `batch.lua` stands before it, `batch_end.lua` behind it.
--
-- KEYS from 6: channels with members, nodes with members, then entries and users of each channel.
-- ARGV from 9: the items.
-- Item: P, key of entries, channel, owner, number of changes, then the changes: P, session, user, claims (0 or 1), ms that
-- it lasts (""; as long as its node), has info (0 or 1), info; or R, session, why; or S, user, if absent (0 or 1), has
-- state (0 or 1), state.
-- Lines of the answer: E (passed on), N (nothing came of it, so no entry of the stream proves it).

-- The second result is where the next item begins.
local function change_members(at)
  local key, name, owner = tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  local room, told = open_room(KEYS[key], KEYS[key + 1]), {}
  local last = tonumber(ARGV[at + 4])
  at = at + 5
  for change = 1, last do
    local kind, session = ARGV[at], ARGV[at + 1]
    if kind == 'P' then
      local info = ARGV[at + 5] == '1' and ARGV[at + 6] or nil
      told[change] = put_entry(room, owner, session, ARGV[at + 2], ARGV[at + 3] == '1', tonumber(ARGV[at + 4]), info)
      at = at + 7
    elseif kind == 'R' then
      told[change] = remove_own_entry(room, owner, session, ARGV[at + 2])
      at = at + 3
    else
      told[change] = set_state(room, session, ARGV[at + 2] == '1', ARGV[at + 3] == '1' and ARGV[at + 4] or nil)
      at = at + 5
    end
  end
  call('SADD', KEYS[7], owner)
  close_room(room, KEYS[6], name)
  local all = table.concat(told)
  if all ~= '' then
    parts = parts + 1
    frames[parts] = frame('P ' .. name, all)
  end
  return all ~= '' and 'E' or 'N', at
end

do
  local at = 9
  for item = 1, count do
    results[item], at = change_members(at)
  end
end
