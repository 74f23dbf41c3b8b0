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

local function entry_of(entries, session)
  local raw = redis.call('HGET', entries, session)
  return raw and unpack_entry(raw)
end

local function record_of(users, user)
  local raw = redis.call('HGET', users, user)
  return raw and unpack_record(raw)
end

-- Incarnations of one process share what stands before the dot.
local function is_same_process(one, other)
  return string.match(one, '^[^.]*') == string.match(other, '^[^.]*')
end

-- why: l (left), t (its time is over), r (its node is dead).
local function remove_entry(entries, users, session, entry, why)
  redis.call('HDEL', entries, session)
  local record = record_of(users, entry.user)
  if record and record.count > 1 then
    record.count = record.count - 1
    redis.call('HSET', users, entry.user, pack_record(record))
  else
    redis.call('HDEL', users, entry.user)
  end
  return 'R' .. why .. ' ' .. #entry.owner .. ' ' .. #session .. ' ' .. entry.owner .. session
end

-- An entry that a client claims is taken from whoever has it; one that a node repeats yields to another process.
local function put_entry(entries, users, owner, session, user, claims, lasts, info)
  local before = entry_of(entries, session)
  if before and not claims and not is_same_process(before.owner, owner) then
    return ''
  end
  local told = ''
  if before and before.user ~= user then
    told = remove_entry(entries, users, session, before, 'l')
    before = nil
  end
  local record = record_of(users, user) or { count = 0 }
  local entry = { till = lasts and now_ms + lasts or 0, owner = owner, user = user }
  if not before then
    record.count = record.count + 1
  end
  local sets_info = (claims or record.count == 1) and record.info ~= info
  if sets_info then
    record.info = info
  end
  if not before or sets_info then
    redis.call('HSET', users, user, pack_record(record))
  end
  if not before or before.owner ~= owner or before.till ~= entry.till then
    redis.call('HSET', entries, session, pack_entry(entry))
  end
  if before and before.owner == owner and (before.till > 0) == (entry.till > 0) and not sets_info then
    return told
  end
  return told .. 'P' .. (entry.till > 0 and 1 or 0) .. ' ' .. #owner .. ' ' .. #session .. ' ' .. #user .. ' '
    .. length(record.info) .. ' ' .. length(record.state) .. ' ' .. owner .. session .. user
    .. (record.info or '') .. (record.state or '')
end

local function set_state(users, user, if_absent, state)
  local record = record_of(users, user)
  if not record or record.state == state or if_absent and record.state then
    return ''
  end
  record.state = state
  redis.call('HSET', users, user, pack_record(record))
  return 'S ' .. #user .. ' ' .. length(state) .. ' ' .. user .. (state or '')
end

-- The set of channels in which somebody is.
local function note_channel(channels, entries, channel)
  if redis.call('EXISTS', entries) == 1 then
    redis.call('SADD', channels, channel)
  else
    redis.call('SREM', channels, channel)
  end
end
