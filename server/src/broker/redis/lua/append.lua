-- Appends a batch to channels of one partition, and to the partition's stream.
--
-- Scripts do not roll back: everything is checked first, and nothing is counted before the command that can fail.
-- KEYS: meta, stream, dedup 0, dedup 1, batches, then whatever the items name by index.
-- ARGV: lineage, gen, not_after (ms), owner, number, seed, dedup window (ms), dedup entries at most, count, then items.

local lineage, gen, not_after, owner, number, seed = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local window, dedup_max, count = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local META, STREAM, BATCHES = KEYS[1], KEYS[2], KEYS[5]
local STREAM_LEN_MAX = 20000
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
-- A stream that is ahead of its meta is not this partition's.
if #redis.call('XRANGE', STREAM, '(' .. digits(part.pseq) .. '-0', '+', 'COUNT', 1) > 0 then
  return 'BROKEN'
end

local more = redis.call('HMGET', META, 'dcur', 'dstart', 'bytes', 'marks')
local dedup_now, dedup_start = tonumber(more[1]), tonumber(more[2])
local bytes, marks = tonumber(more[3]), more[4]
local channels, names, results = {}, {}, {}
local wrote = false

local function post(head, body)
  part.pseq = part.pseq + 1
  redis.call('XADD', STREAM, 'MAXLEN', '~', STREAM_LEN_MAX, digits(part.pseq) .. '-0', head, body)
  wrote = true
  bytes = bytes + #head + #body
end

local function channel_of(key, name)
  local channel = channels[name]
  if not channel then
    channel = load_channel(KEYS[key], name, part, seed)
    channels[name] = channel
    names[#names + 1] = name
  end
  return channel
end

local function known(field)
  local found = redis.call('HGET', KEYS[3 + dedup_now], field) or redis.call('HGET', KEYS[4 - dedup_now], field)
  if found and now_ms - tonumber(string.sub(found, 1, 13)) < window then
    return found
  end
end

-- The log begins a new life: it does not continue what the meta says.
local function begin_anew(channel, name, log)
  redis.call('UNLINK', log)
  channel.epoch, channel.gen = new_epoch(seed, name), part.gen
  channel.tag, channel.offset = NO_TAG, 0
end

local function add(channel, log, len_max, head, body)
  local id = digits(channel.offset + 1) .. '-0'
  if channel.offset == 0 then
    return redis.pcall('XADD', log, 'MAXLEN', '~', len_max, id, head, body)
  end
  return redis.pcall('XADD', log, 'NOMKSTREAM', 'MAXLEN', '~', len_max, id, head, body)
end

local function head_of(channel, tag, time, seq)
  return tag .. channel.tag .. time .. digits(seq)
end

-- What can be said of a log entry that was refused: nothing is written yet, so all is refused; or only this one.
local function refused(text)
  if not wrote then
    return nil, text
  end
  return 'X ' .. text
end

-- Item: L, key of meta, channel, tag, counts as message, len max, expiry (ms), age (s), dedup field, content, origin, body.
local function log_event(at)
  local key, name, tag = tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  local field, content = ARGV[at + 8], ARGV[at + 9]
  if field ~= '' then
    local found = known(field)
    if found then
      if string.sub(found, 14, 29) ~= content then
        return 'R'
      end
      return 'D ' .. string.sub(found, 30)
    end
  end
  local channel = channel_of(key, name)
  local log = KEYS[key + 1]
  local time = now
  if channel.time >= now then
    time = after(channel.time)
  end
  local seq = channel.seq + tonumber(ARGV[at + 4])
  local added = add(channel, log, ARGV[at + 5], head_of(channel, tag, time, seq), ARGV[at + 11])
  local error = type(added) == 'table' and added.err
  if error and not (string.find(error, 'equal or smaller', 1, true) or string.find(error, 'WRONGTYPE', 1, true)) then
    return refused(error)
  end
  if error or not added then
    begin_anew(channel, name, log)
    add(channel, log, ARGV[at + 5], head_of(channel, tag, time, seq), ARGV[at + 11])
  end
  wrote = true
  channel.offset = channel.offset + 1
  post('L1 ' .. tag .. ' ' .. part.ptag .. ' ' .. name .. ' ' .. channel.epoch .. ' ' .. digits(channel.offset) .. ' '
    .. digits(seq) .. ' ' .. channel.tag .. ' ' .. time .. ' ' .. ARGV[at + 10], ARGV[at + 11])
  part.ptag = tag
  channel.tag, channel.time, channel.seq, channel.changed = tag, time, seq, true
  channel.key, channel.expiry, channel.age_s = key, ARGV[at + 6], tonumber(ARGV[at + 7])
  local place = digits(channel.offset) .. ' ' .. channel.epoch .. ' ' .. tag .. ' ' .. time
  if field ~= '' then
    redis.call('HSET', KEYS[3 + dedup_now], field, digits(now_ms) .. content .. place)
  end
  return 'A ' .. digits(part.pseq) .. ' ' .. place
end

-- Item: E (ephemeral) or H (heartbeat), tag, words, body.
local function pass_on(kind, at)
  local tag = ARGV[at + 1]
  post(kind .. '1 ' .. tag .. ' ' .. part.ptag .. ' ' .. ARGV[at + 2], ARGV[at + 3])
  part.ptag = tag
  return 'E ' .. digits(part.pseq)
end

local at = 10
for item = 1, count do
  local kind = ARGV[at]
  local result, error
  if kind == 'L' then
    result, error = log_event(at)
    at = at + 12
  else
    result, error = pass_on(kind, at)
    at = at + 4
  end
  if error then
    return redis.error_reply(error)
  end
  results[item] = result
end

-- A few expired entries go with each sixteenth event, so that a log that is only written shrinks too.
local function trim(channel, log)
  local cutoff = string.format('%010.0f', math.max(now_s - channel.age_s, 0))
  local keep
  for _, entry in ipairs(redis.call('XRANGE', log, '-', '+', 'COUNT', 16)) do
    if string.sub(entry[2][1], 33, 42) >= cutoff then
      break
    end
    keep = tonumber(string.match(entry[1], '^%d+')) + 1
  end
  if keep then
    redis.call('XTRIM', log, 'MINID', digits(keep) .. '-0')
  end
end

for _, name in ipairs(names) do
  local channel = channels[name]
  if channel.key then
    redis.call('SET', KEYS[channel.key], pack_channel(channel), 'PX', channel.expiry)
    redis.call('PEXPIRE', KEYS[channel.key + 1], channel.expiry)
    if channel.offset % 16 == 0 then
      trim(channel, KEYS[channel.key + 1])
    end
  end
end

if bytes >= MARK_BYTES then
  marks = marks .. digits(part.pseq) .. ' '
  bytes = 0
  local _, kept = string.gsub(marks, ' ', '')
  if kept > MARKS_MAX then
    local first, rest = string.match(marks, '^(%d+) (.*)$')
    marks = rest
    redis.call('XTRIM', STREAM, 'MINID', '~', first .. '-0')
  end
end
if (now_ms - dedup_start >= window and window > 0) or redis.call('HLEN', KEYS[3 + dedup_now]) > dedup_max then
  dedup_now, dedup_start = 1 - dedup_now, now_ms
  redis.call('UNLINK', KEYS[3 + dedup_now])
  redis.call('HSET', KEYS[3 + dedup_now], '', '')
end
if now_s - part.epoch_at >= EPOCH_S then
  part.epoch, part.epoch_at = new_epoch(seed, ''), now_s
end
redis.call('HSET', META, 'pseq', digits(part.pseq), 'ptag', part.ptag, 'epoch', part.epoch, 'epoch_at',
  digits(part.epoch_at), 'dcur', dedup_now, 'dstart', digits(dedup_start), 'bytes', digits(bytes), 'marks', marks)
local answer = table.concat(results, '\n')
redis.call('HSET', BATCHES, owner, number .. '\n' .. answer)
return answer
