-- Appends a batch to channels of one partition, and one entry with all of it to the partition's stream.
--
-- Scripts do not roll back: everything is checked first, and nothing is counted before the command that can fail.
-- KEYS: meta, stream, dedup 0, dedup 1, batches, then meta and log of each channel; in a batch of members: channels with
-- members, nodes with members, then entries and users of each channel.
-- ARGV: lineage, gen, not_after (ms), owner, number, seed, dedup window (ms), dedup entries at most, count, then items.

local lineage, gen, not_after, owner, number, seed = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local window, dedup_max, count = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local META, STREAM, BATCHES = KEYS[1], KEYS[2], KEYS[5]
local MARK_BYTES, MARKS_MAX = 524288, 8
-- How long the epoch of unwritten channels holds. A channel lives for at least two of these after its last event, so
-- that one that died and is born again never takes the same epoch twice.
local EPOCH_S = 3600

local part = load_part(META)
if not is_settled(part, lineage, gen) then
  return unsettled(part)
end
-- The same batch again: its first answer may have been lost on the way.
local before = redis.call('HGET', BATCHES, owner)
if before then
  local cut = string.find(before, '\n', 1, true)
  if string.sub(before, 1, cut - 1) == number then
    return string.sub(before, cut + 1)
  end
end
if now_ms > not_after then
  return 'LATE'
end
-- A stream that is ahead of its meta was not written by these scripts: nothing of it can be relied on.
local ahead = redis.call('XREVRANGE', STREAM, '+', '(' .. part.pseq .. '-0', 'COUNT', 1)[1]
if ahead then
  part.pseq, part.gen = tonumber(string.match(ahead[1], '^%d+')), part.gen + 1
  part.floor = part.gen
  post(STREAM, part, seed, frame('G ' .. part.gen .. ' ' .. part.floor, ''))
  save_part(META, part)
  return unsettled(part)
end
-- The older half of the dedup entries goes. First of all: while a slot moves, a key that was just deleted cannot be
-- made again, and nothing else is written yet.
if (now_ms - part.dedup_at >= window and window > 0) or redis.call('HLEN', KEYS[3 + part.dedup]) > dedup_max then
  local old = KEYS[4 - part.dedup]
  redis.call('UNLINK', old)
  redis.call('HSET', old, '', '')
  part.dedup, part.dedup_at = 1 - part.dedup, now_ms
end
local DEDUP, DEDUP_BEFORE = KEYS[3 + part.dedup], KEYS[4 - part.dedup]

local channels, names, results, frames = {}, {}, {}, {}
local pseq = part.pseq + 1
local wrote = false
local before_is_empty

local function known(field)
  local found = redis.call('HGET', DEDUP, field)
  if not found then
    if before_is_empty == nil then
      before_is_empty = redis.call('HLEN', DEDUP_BEFORE) < 2
    end
    found = not before_is_empty and redis.call('HGET', DEDUP_BEFORE, field)
  end
  if found and now_ms - tonumber(string.sub(found, 1, 13)) < window then
    return found
  end
end

local function add(channel, log, len_max, head, body)
  local id = (channel.offset + 1) .. '-0'
  if channel.offset == 0 then
    return redis.pcall('XADD', log, 'MAXLEN', '~', len_max, id, head, body)
  end
  return redis.pcall('XADD', log, 'NOMKSTREAM', 'MAXLEN', '~', len_max, id, head, body)
end

-- The log does not continue what the meta says: it begins a new life, empty.
local function begin_anew(channel, name, log)
  if redis.call('TYPE', log).ok == 'stream' then
    redis.call('XTRIM', log, 'MAXLEN', 0)
    redis.call('XSETID', log, '0-0')
  else
    redis.call('UNLINK', log)
  end
  channel.epoch, channel.gen = new_epoch(seed, name), part.gen
  channel.tag, channel.offset = NO_TAG, 0
end

-- Item: L, key of meta, channel, tag, counts as message, len max, life (ms), age (ms), dedup field, content, origin, body.
local function log_event(at)
  local key, name, tag = tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  local field, content, body = ARGV[at + 8], ARGV[at + 9], ARGV[at + 11]
  if field ~= '' then
    local found = known(field)
    if found then
      if string.sub(found, 14, 29) ~= content then
        return 'R'
      end
      return 'D ' .. string.sub(found, 30)
    end
  end
  local channel = channels[name]
  if not channel then
    channel = load_channel(KEYS[key], name, part, seed)
    channel.key, channel.last_time = key, channel.time
    channels[name] = channel
    names[#names + 1] = name
  end
  local log = KEYS[key + 1]
  local time = channel.time < now and now or after(channel.time)
  local seq = channel.seq + tonumber(ARGV[at + 4])
  local prev = channel.tag
  local added = add(channel, log, ARGV[at + 5], tag .. prev .. time .. seq, body)
  local error = type(added) == 'table' and added.err
  if not added or error and (string.find(error, 'equal or smaller', 1, true) or string.find(error, 'WRONGTYPE', 1, true)) then
    begin_anew(channel, name, log)
    prev = channel.tag
    added = add(channel, log, ARGV[at + 5], tag .. prev .. time .. seq, body)
    error = type(added) == 'table' and added.err
  end
  if error then
    -- Nothing is written yet: the whole batch is refused. Else only this event is.
    return wrote and 'X ' .. error, not wrote and error
  end
  wrote = true
  channel.offset, channel.tag, channel.time, channel.seq = channel.offset + 1, tag, time, seq
  channel.life, channel.age = tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7])
  local place = channel.offset .. ' ' .. channel.epoch .. ' ' .. tag .. ' ' .. time
  frames[#frames + 1] = frame('L ' .. name .. ' ' .. place .. ' ' .. seq .. ' ' .. prev .. ' ' .. ARGV[at + 10], body)
  if field ~= '' then
    redis.call('HSET', DEDUP, field, now_ms .. content .. place)
  end
  return 'A ' .. pseq .. ' ' .. place
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
  redis.call('SADD', KEYS[7], owner)
  close_room(room, KEYS[6], name)
  local all = table.concat(told)
  if all ~= '' then
    frames[#frames + 1] = frame('P ' .. name, all)
  end
  -- 0: nothing came of it, so no entry of the stream proves it.
  return 'E ' .. (all ~= '' and pseq or 0), at
end

local at = 10
for item = 1, count do
  local kind = ARGV[at]
  local result, error
  if kind == 'L' then
    result, error = log_event(at)
    at = at + 12
  elseif kind == 'P' then
    result, at = change_members(at)
  else
    -- Item: E (ephemeral) or H (heartbeat), words, body: they only pass through the stream.
    frames[#frames + 1] = frame(kind .. ' ' .. ARGV[at + 1], ARGV[at + 2])
    result = 'E ' .. pseq
    at = at + 3
  end
  if error then
    return redis.error_reply(error)
  end
  results[item] = result
end

-- A few expired entries go with each sixteenth event, so that a log that is only written shrinks too.
local function trim(channel, log)
  local cutoff = ago(channel.age)
  local keep
  for _, entry in ipairs(redis.call('XRANGE', log, '-', '+', 'COUNT', 16)) do
    if string.sub(entry[2][1], 33, 49) > cutoff then
      break
    end
    keep = tonumber(string.match(entry[1], '^%d+')) + 1
  end
  if keep then
    redis.call('XTRIM', log, 'MINID', keep .. '-0')
  end
end

for _, name in ipairs(names) do
  local channel = channels[name]
  if channel.life then
    local key, log = KEYS[channel.key], KEYS[channel.key + 1]
    -- Setting an expiry costs more than the event: it is set anew only in another quarter of the life.
    local quarter = channel.life / 4
    local last_ms = tonumber(string.sub(channel.last_time, 1, 13))
    if math.floor(last_ms / quarter) ~= math.floor(now_ms / quarter) then
      local life = math.ceil(channel.life * 5 / 4)
      redis.call('SET', key, pack_channel(channel), 'PX', life)
      redis.call('PEXPIRE', log, life)
    else
      redis.call('SET', key, pack_channel(channel), 'KEEPTTL')
    end
    if channel.offset % 16 == 0 then
      trim(channel, log)
    end
  end
end

if #frames > 0 then
  local all = table.concat(frames)
  post(STREAM, part, seed, all)
  part.bytes = part.bytes + #all
end
if part.bytes >= MARK_BYTES then
  part.bytes, part.marks = 0, part.marks .. part.pseq .. ' '
  local _, kept = string.gsub(part.marks, ' ', '')
  if kept > MARKS_MAX then
    local first, rest = string.match(part.marks, '^(%d+) (.*)$')
    part.marks = rest
    redis.call('XTRIM', STREAM, 'MINID', '~', first .. '-0')
  end
end
if now_s - part.epoch_at >= EPOCH_S then
  part.epoch, part.epoch_at = new_epoch(seed, ''), now_s
end
save_part(META, part)
local answer = table.concat(results, '\n')
redis.call('HSET', BATCHES, owner, number .. '\n' .. answer)
return answer
