-- Appends a batch to channels of one partition, and one entry with all of it to the partition's stream.
--
-- Scripts do not roll back: everything is checked first, and nothing is counted before the command that can fail.
-- KEYS: meta, stream, dedup 0, dedup 1, batches, then meta and log of each channel; in a batch of members: channels with
-- members, nodes with members, then entries and users of each channel.
-- ARGV: lineage, gen, not_after (ms), owner, number, seed, dedup window (ms), dedup entries at most, count, then items.

local owner, number, seed, window, count = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[9])
local META, STREAM, BATCHES = KEYS[1], KEYS[2], KEYS[5]
local MARK_BYTES, MARKS_MAX = 524288, 8
-- How long the epoch of unwritten channels holds. A channel lives for at least two of these after its last event, so
-- that one that died and is born again never takes the same epoch twice.
local EPOCH_S = 3600

local part = load_part(META)
if not is_settled(part, ARGV[1], ARGV[2]) then
  return unsettled(part)
end
-- The same batch again: its first answer may have been lost on the way.
if call('HGET', BATCHES, owner) == number then
  return call('HGET', BATCHES, owner .. ':answer')
end
if now_ms > tonumber(ARGV[3]) then
  return 'LATE'
end
-- A stream that is ahead of its meta was not written by these scripts: nothing of it can be relied on.
local ahead = call('XREVRANGE', STREAM, '+', format('(%d-0', part.pseq), 'COUNT', '1')[1]
if ahead then
  part.pseq, part.gen = tonumber(match(ahead[1], '^%d+')), part.gen + 1
  part.floor = part.gen
  post(STREAM, part, seed, frame('G ' .. part.gen .. ' ' .. part.floor, ''))
  save_part(META, part)
  return unsettled(part)
end
-- The older half of the dedup entries goes. First of all: while a slot moves, a key that was just deleted cannot be
-- made again, and nothing else is written yet.
if (now_ms - part.dedup_at >= window and window > 0)
  or (part.pseq % 16 == 0 and call('HLEN', KEYS[3 + part.dedup]) > tonumber(ARGV[8])) then
  local old = KEYS[4 - part.dedup]
  call('UNLINK', old)
  call('HSET', old, '', '')
  part.dedup, part.dedup_at = 1 - part.dedup, now_ms
end

local known, metas, keys, fields, starts = {}, {}, {}, {}, {}
local channels, names, results, frames, parts = {}, {}, {}, {}, 0
-- What is to be remembered: field, value, field, value.
local fresh = {}
local stream_place, passed_on, now_text = format('A %d ', part.pseq + 1), format('E %d', part.pseq + 1), format('%d', now_ms)
local wrote = false

local function add(channel, log, len_max, id, head, body)
  if channel.offset == 0 then
    return redis.pcall('XADD', log, 'MAXLEN', '~', len_max, id, head, body)
  end
  return redis.pcall('XADD', log, 'NOMKSTREAM', 'MAXLEN', '~', len_max, id, head, body)
end

-- The log does not continue what the meta says: it begins a new life, empty.
local function begin_anew(channel, name, log)
  if call('TYPE', log).ok == 'stream' then
    call('XTRIM', log, 'MAXLEN', 0)
    call('XSETID', log, '0-0')
  else
    call('UNLINK', log)
  end
  channel.epoch, channel.gen = new_epoch(seed, name), part.gen
  -- Its expiry is set again with the next meta.
  channel.tag, channel.offset, channel.set_at = NO_TAG, 0, 0
end

-- Item: L, key of meta, channel, tag, counts as message, len max, life (ms), age (ms), dedup field, content, origin, body.
local function log_event(at)
  local name, tag, field, content, body = ARGV[at + 2], ARGV[at + 3], ARGV[at + 8], ARGV[at + 9], ARGV[at + 11]
  local found = known[field]
  if found and now_ms - tonumber(sub(found, 1, 13)) < window then
    return sub(found, 14, 29) == content and 'D ' .. sub(found, 30) or 'R'
  end
  local channel = channels[name]
  if not channel then
    local key = tonumber(ARGV[at + 1])
    channel = channel_from(metas[ARGV[at + 1]], name, part, seed)
    channel.key, channel.log = KEYS[key], KEYS[key + 1]
    channels[name] = channel
    names[#names + 1] = name
  end
  local log, prev = channel.log, channel.tag
  local time = channel.time < now and now or after(channel.time)
  local seq = ARGV[at + 4] == '1' and channel.seq + 1 or channel.seq
  local offset_text = format('%d', channel.offset + 1)
  local seq_text = seq == channel.offset + 1 and offset_text or format('%d', seq)
  local added = add(channel, log, ARGV[at + 5], offset_text .. '-0', tag .. prev .. time .. seq_text, body)
  local error = type(added) == 'table' and added.err
  if not added or error and (string.find(error, 'equal or smaller', 1, true) or string.find(error, 'WRONGTYPE', 1, true)) then
    begin_anew(channel, name, log)
    prev, offset_text, seq_text = NO_TAG, '1', format('%d', seq)
    added = add(channel, log, ARGV[at + 5], '1-0', tag .. prev .. time .. seq_text, body)
    error = type(added) == 'table' and added.err
  end
  if error then
    -- Nothing is written yet: the whole batch is refused. Else only this event is.
    return wrote and 'X ' .. error, not wrote and error
  end
  wrote = true
  channel.offset, channel.tag, channel.time, channel.seq, channel.item = channel.offset + 1, tag, time, seq, at
  local place = offset_text .. ' ' .. channel.epoch .. ' ' .. tag .. ' ' .. time
  local head = 'L ' .. name .. ' ' .. place .. ' ' .. seq_text .. ' ' .. prev .. ' ' .. ARGV[at + 10]
  -- Not joined here: all is joined once.
  frames[parts + 1], frames[parts + 2], frames[parts + 3] = format('%d %d ', #head, #body), head, body
  parts = parts + 3
  if field ~= '' then
    local value = now_text .. content .. place
    known[field] = value
    fresh[#fresh + 1], fresh[#fresh + 2] = field, value
  end
  return stream_place .. place
end

-- Item: P, key of entries, channel, owner, number of changes, then the changes: P, session, user, claims (0 or 1), ms that
-- it lasts (""; as long as its node), has info (0 or 1), info; or R, session, why; or S, user, if absent (0 or 1), has
-- state (0 or 1), state. The second result is where the next item begins.
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
  wrote = true
  call('SADD', KEYS[7], owner)
  close_room(room, KEYS[6], name)
  local all = table.concat(told)
  if all ~= '' then
    parts = parts + 1
    frames[parts] = frame('P ' .. name, all)
  end
  -- 0: nothing came of it, so no entry of the stream proves it.
  return all ~= '' and passed_on or 'E 0', at
end

-- First the members, before any log is written. What the logs' items must know is collected on the way, and asked for at once: a call costs more than what it does.
do
  local at, asked = 10, {}
  for item = 1, count do
    local kind = ARGV[at]
    starts[item] = at
    if kind == 'L' then
      local key, field = ARGV[at + 1], ARGV[at + 8]
      if not asked[key] then
        keys[#keys + 1] = KEYS[tonumber(key)]
        asked[key] = #keys
      end
      if field ~= '' then
        fields[#fields + 1] = field
      end
      at = at + 12
    elseif kind == 'P' then
      results[item], at = change_members(at)
    else
      at = at + 3
    end
  end
  if #keys > 0 then
    local found = call('MGET', unpack(keys))
    for key, index in pairs(asked) do
      metas[key] = found[index]
    end
  end
  local function look_up(half)
    for index, found in ipairs(call('HMGET', half, unpack(fields))) do
      known[fields[index]] = found or known[fields[index]]
    end
  end
  if #fields > 0 then
    if call('HLEN', KEYS[4 - part.dedup]) > 1 then
      look_up(KEYS[4 - part.dedup])
    end
    look_up(KEYS[3 + part.dedup])
  end
end

for item = 1, count do
  local at = starts[item]
  local kind = ARGV[at]
  if kind == 'L' then
    local result, error = log_event(at)
    if error then
      return redis.error_reply(error)
    end
    results[item] = result
  elseif kind ~= 'P' then
    -- Item: E (ephemeral) or H (heartbeat), words, body: they only pass through the stream.
    parts = parts + 1
    frames[parts] = frame(kind .. ' ' .. ARGV[at + 1], ARGV[at + 2])
    results[item] = passed_on
  end
end
if #fresh > 0 then
  call('HSET', KEYS[3 + part.dedup], unpack(fresh))
end

-- A few expired entries go with each sixteenth event, so that a log that is only written shrinks too.
local function trim(channel)
  local cutoff = ago(tonumber(ARGV[channel.item + 7]))
  local keep
  -- One is looked at before sixteen are: mostly none has expired.
  for _, some in ipairs({ '1', '16' }) do
    for _, entry in ipairs(call('XRANGE', channel.log, '-', '+', 'COUNT', some)) do
      if sub(entry[2][1], 33, 49) > cutoff then
        break
      end
      keep = tonumber(match(entry[1], '^%d+')) + 1
    end
    if not keep then
      return
    end
  end
  call('XTRIM', channel.log, 'MINID', format('%d-0', keep))
end

for _, name in ipairs(names) do
  local channel = channels[name]
  if channel.item then
    -- Setting an expiry costs more than the event: it is set anew only when a quarter of the life has gone.
    local life_s = tonumber(ARGV[channel.item + 6]) / 1000
    if now_s - channel.set_at > life_s / 4 then
      channel.set_at = now_s
      local seconds = format('%d', math.ceil(life_s * 5 / 4))
      call('SET', channel.key, pack_channel(channel), 'EX', seconds)
      call('EXPIRE', channel.log, seconds)
    else
      call('SET', channel.key, pack_channel(channel), 'KEEPTTL')
    end
    if channel.offset % 16 == 0 then
      trim(channel)
    end
  end
end

if parts > 0 then
  local all = table.concat(frames)
  post(STREAM, part, seed, all)
  part.bytes = part.bytes + #all
end
if part.bytes >= MARK_BYTES then
  part.bytes, part.marks = 0, part.marks .. format('%d ', part.pseq)
  local _, kept = string.gsub(part.marks, ' ', '')
  if kept > MARKS_MAX then
    local first, rest = match(part.marks, '^(%d+) (.*)$')
    part.marks = rest
    call('XTRIM', STREAM, 'MINID', '~', first .. '-0')
  end
end
if now_s - part.epoch_at >= EPOCH_S then
  part.epoch, part.epoch_at = new_epoch(seed, ''), now_s
end
save_part(META, part)
local answer = table.concat(results, '\n')
call('HSET', BATCHES, owner, number, owner .. ':answer', answer)
return answer
