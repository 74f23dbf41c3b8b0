-- Who is in a channel: a hash of entries by session and a hash of records by user, changed by the rules that stand in
-- presence/registry.rs, and told by what is returned here.
--
-- Entry: "1", until (ms; 0: as long as its node lives), length of the owner, then owner and user.
-- Record: "1", number of the user's entries, lengths of info and state ("-": absent), then both.

local function length(text)
  return text and #text or '-'
end

local function unpack_entry(raw)
  local till, owner, at = string.match(raw, '^1(%d+) (%d+) ()')
  if not at then
    return nil
  end
  return { till = tonumber(till), owner = string.sub(raw, at, at + owner - 1), user = string.sub(raw, at + owner) }
end

local function pack_entry(entry)
  return '1' .. entry.till .. ' ' .. #entry.owner .. ' ' .. entry.owner .. entry.user
end

local function unpack_record(raw)
  local count, info, state, at = string.match(raw, '^1(%d+) ([%d-]+) ([%d-]+) ()')
  if not at then
    return nil
  end
  local record = { count = tonumber(count) }
  if info ~= '-' then
    record.info = string.sub(raw, at, at + info - 1)
    at = at + info
  end
  if state ~= '-' then
    record.state = string.sub(raw, at)
  end
  return record
end

local function pack_record(record)
  return '1' .. record.count .. ' ' .. length(record.info) .. ' ' .. length(record.state) .. ' '
    .. (record.info or '') .. (record.state or '')
end

-- A channel's entries and records as far as they were touched. Written at the end, what is set before what goes: a hash
-- that becomes empty in between could not be filled again while its slot moves.
local function open_room(entries, users)
  return { entries = { key = entries, touched = {}, values = {} }, users = { key = users, touched = {}, values = {} } }
end

local function look_up(table, field, unpack_value)
  local value = table.values[field]
  if value == nil then
    local raw = redis.call('HGET', table.key, field)
    value = raw and unpack_value(raw) or false
    table.values[field] = value
  end
  return value
end

local function put(table, field, value)
  table.values[field] = value
  table.touched[field] = true
end

local function write(table, pack_value)
  local set, gone = {}, {}
  for field in pairs(table.touched) do
    local value = table.values[field]
    if value then
      set[#set + 1] = field
      set[#set + 1] = pack_value(value)
    else
      gone[#gone + 1] = field
    end
  end
  for first = 1, #set, 500 do
    redis.call('HSET', table.key, unpack(set, first, math.min(first + 499, #set)))
  end
  for first = 1, #gone, 500 do
    redis.call('HDEL', table.key, unpack(gone, first, math.min(first + 499, #gone)))
  end
end

-- `channels` is the set of channels in which somebody is. It holds a mark, so that it is never empty.
local function close_room(room, channels, channel)
  write(room.entries, pack_entry)
  write(room.users, pack_record)
  if redis.call('EXISTS', room.entries.key) == 1 then
    redis.call('SADD', channels, '', channel)
  else
    redis.call('SADD', channels, '')
    redis.call('SREM', channels, channel)
  end
end

-- Incarnations of one process share what stands before the dot.
local function is_same_process(one, other)
  return string.match(one, '^[^.]*') == string.match(other, '^[^.]*')
end

-- why: l (left), t (its time is over), r (its node is dead).
local function remove_entry(room, session, entry, why)
  put(room.entries, session, false)
  local record = look_up(room.users, entry.user, unpack_record)
  if record and record.count > 1 then
    record.count = record.count - 1
    put(room.users, entry.user, record)
  else
    put(room.users, entry.user, false)
  end
  return 'R' .. why .. ' ' .. #entry.owner .. ' ' .. #session .. ' ' .. entry.owner .. session
end

local function remove_own_entry(room, owner, session, why)
  local entry = look_up(room.entries, session, unpack_entry)
  if not entry or not is_same_process(entry.owner, owner) then
    return ''
  end
  return remove_entry(room, session, entry, why)
end

-- An entry that a client claims is taken from whoever has it; one that a node repeats yields to another process.
local function put_entry(room, owner, session, user, claims, lasts, info)
  local before = look_up(room.entries, session, unpack_entry)
  if before and not claims and not is_same_process(before.owner, owner) then
    return ''
  end
  local told = ''
  if before and before.user ~= user then
    told = remove_entry(room, session, before, 'l')
    before = false
  end
  local record = look_up(room.users, user, unpack_record) or { count = 0 }
  local entry = { till = lasts and now_ms + lasts or 0, owner = owner, user = user }
  if not before then
    record.count = record.count + 1
  end
  local sets_info = (claims or record.count == 1) and record.info ~= info
  if sets_info then
    record.info = info
  end
  if not before or sets_info then
    put(room.users, user, record)
  end
  if not before or before.owner ~= owner or before.till ~= entry.till then
    put(room.entries, session, entry)
  end
  if before and before.owner == owner and (before.till > 0) == (entry.till > 0) and not sets_info then
    return told
  end
  return told .. 'P' .. (entry.till > 0 and 1 or 0) .. ' ' .. #owner .. ' ' .. #session .. ' ' .. #user .. ' '
    .. length(record.info) .. ' ' .. length(record.state) .. ' ' .. owner .. session .. user
    .. (record.info or '') .. (record.state or '')
end

local function set_state(room, user, if_absent, state)
  local record = look_up(room.users, user, unpack_record)
  if not record or record.state == state or if_absent and record.state then
    return ''
  end
  record.state = state
  put(room.users, user, record)
  return 'S ' .. #user .. ' ' .. length(state) .. ' ' .. user .. (state or '')
end
