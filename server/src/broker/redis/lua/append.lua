-- Appends a batch of events to channels of one partition; `batch.lua` stands before it, `batch_end.lua` behind it.
--
-- Scripts do not roll back: everything is checked first, and nothing is counted before the command that can fail.
-- A call costs more than what it does, and most of the rest is making strings: so channels are told once, whatever can be is
-- asked for or written at once, and a text that is needed twice is made once.
--
-- KEYS from 6: meta and log of each channel.
-- ARGV from 9: dedup window (ms), dedup entries at most, how many channels, then of each: name, len max, life (ms), age (ms);
-- then the items.
-- Item: number of the channel (negative: it does not count as a message), tag, dedup field, content, origin, body.
-- Item: E (ephemeral) or H (heartbeat), words, body: they only pass through the stream.
-- The answer's first line goes on with the batch's time and the channels' epochs, one behind the other; then, if any, how
-- many ids had to go before their window was over.
-- Lines of the answer: "offset" or "offset time" (else it is the batch's); "D offset epoch tag time" (known already); R (id
-- used for other content); E (passed on); X and why not.

local window = tonumber(ARGV[9])
local CHANNELS_AT, CHANNEL_ARGS, EVENT_ARGS, PASSED_ON_ARGS = 12, 4, 6, 3

-- The older half of the dedup entries goes. First of all: while a slot moves, a key that was just deleted cannot be
-- made again, and nothing else is written yet.
local forgotten_early, newer_for = 0, now_ms - part.dedup_at
if (newer_for >= window and window > 0)
  or (part.pseq % 16 == 0 and call('HLEN', KEYS[3 + part.dedup]) > tonumber(ARGV[10])) then
  local old = KEYS[4 - part.dedup]
  if newer_for < window then
    -- All but the field that keeps it.
    forgotten_early = math.max(call('HLEN', old) - 1, 0)
  end
  call('UNLINK', old)
  call('HSET', old, '', '')
  part.dedup, part.dedup_at = 1 - part.dedup, now_ms
end
local NEWER, OLDER = KEYS[3 + part.dedup], KEYS[4 - part.dedup]

-- Channels by their number, and where each stood. A field more in each would cost as much as an event.
local channels, before, items_at = {}, {}, CHANNELS_AT + CHANNEL_ARGS * tonumber(ARGV[11])
do
  local metas = {}
  for index = 1, tonumber(ARGV[11]) do
    metas[index] = KEYS[4 + 2 * index]
  end
  local found = #metas > 0 and call('MGET', unpack(metas))
  for index = 1, #metas do
    local channel = channel_from(found[index], ARGV[CHANNELS_AT + CHANNEL_ARGS * (index - 1)], part, seed)
    channels[index], before[index] = channel, channel.offset
  end
end

-- What is known of the items' ids, and where each item begins.
local known, starts = {}, {}
do
  local fields, at = {}, items_at
  for item = 1, count do
    starts[item] = at
    if tonumber(ARGV[at]) then
      local field = ARGV[at + 2]
      if field ~= '' then
        fields[#fields + 1] = field
      end
      at = at + EVENT_ARGS
    else
      at = at + PASSED_ON_ARGS
    end
  end
  local function look_up(half)
    for index, found in ipairs(call('HMGET', half, unpack(fields))) do
      known[fields[index]] = found or known[fields[index]]
    end
  end
  if #fields > 0 then
    if call('HLEN', OLDER) > 1 then
      look_up(OLDER)
    end
    look_up(NEWER)
  end
end

-- What is to be remembered: field, value, field, value.
local fresh = {}
local now_text, wrote = format('%d', now_ms), false

-- Most heads and bodies have one of a few lengths.
local lengths = {}
local function length(bytes)
  local text = lengths[bytes]
  if not text then
    text = format('%d ', bytes)
    lengths[bytes] = text
  end
  return text
end

-- Events of a batch that follow on each other in their channels have the same few times.
local times = {}
local function next_time(time)
  if time < now then
    return now
  end
  local text = times[time]
  if not text then
    text = after(time)
    times[time] = text
  end
  return text
end

-- Before the first event of a log, and often enough besides: who listens to empty channels must know that one epoch of these
-- follows on the other, each time.
local told_epochs = false
local function tell_epochs()
  if not told_epochs then
    local epoch, before = unwritten_epochs(part)
    told_epochs, parts = true, parts + 1
    frames[parts] = frame('U ' .. epoch .. ' ' .. before, '')
  end
end

local pcall = redis.pcall
local function add(log, offset, id, head, body)
  if offset == 0 then
    return pcall('XADD', log, id, head, body)
  end
  return pcall('XADD', log, 'NOMKSTREAM', id, head, body)
end

-- The log does not continue what the meta says: it begins a new life, empty.
local function begin_anew(index, name, log)
  local channel = channels[index]
  if call('TYPE', log).ok == 'stream' then
    call('XTRIM', log, 'MAXLEN', 0)
    call('XSETID', log, '0-0')
  else
    call('UNLINK', log)
  end
  channel.epoch, channel.gen = new_epoch(seed, name), part.gen
  -- Its expiry is set again with the next meta.
  channel.tag, channel.offset, before[index], channel.set_at = NO_TAG, 0, 0, 0
end

local function log_event(at, index)
  local field, content = ARGV[at + 2], ARGV[at + 3]
  local found = known[field]
  if found and now_ms - tonumber(sub(found, 1, 13)) < window then
    return sub(found, 14, 29) == content and 'D ' .. sub(found, 30) or 'R'
  end
  local is_message = index > 0
  index = math.abs(index)
  local tag, body = ARGV[at + 1], ARGV[at + 5]
  local channel, name, log = channels[index], ARGV[CHANNELS_AT + CHANNEL_ARGS * (index - 1)], KEYS[5 + 2 * index]
  local prev, time, offset, seq = channel.tag, next_time(channel.time), channel.offset, channel.seq
  if is_message then
    seq = seq + 1
  end
  local offset_text = format('%d', offset + 1)
  local seq_text = seq == offset + 1 and offset_text or format('%d', seq)
  local added = add(log, offset, offset_text, tag .. prev .. time .. seq_text, body)
  local error = type(added) == 'table' and added.err
  if not added or error and (string.find(error, 'equal or smaller', 1, true) or string.find(error, 'WRONGTYPE', 1, true)) then
    begin_anew(index, name, log)
    prev, offset, offset_text, seq_text = NO_TAG, 0, '1', format('%d', seq)
    added = add(log, 0, '1', tag .. prev .. time .. seq_text, body)
    error = type(added) == 'table' and added.err
  end
  if error then
    -- Nothing is written yet: the whole batch is refused. Else only this event is.
    return wrote and 'X ' .. error, not wrote and error
  end
  wrote = true
  if offset == 0 then
    tell_epochs()
  end
  local epoch = channel.epoch
  channel.offset, channel.tag, channel.time, channel.seq = offset + 1, tag, time, seq
  local head = 'L ' .. name .. ' ' .. offset_text .. ' ' .. epoch .. ' ' .. tag .. ' ' .. time .. ' ' .. seq_text .. ' ' .. prev
    .. ' ' .. ARGV[at + 4]
  frames[parts + 1], frames[parts + 2], frames[parts + 3], frames[parts + 4] = length(#head), length(#body), head, body
  parts = parts + 4
  if field ~= '' then
    local value = now_text .. content .. offset_text .. ' ' .. epoch .. ' ' .. tag .. ' ' .. time
    known[field] = value
    fresh[#fresh + 1], fresh[#fresh + 2] = field, value
  end
  return time == now and offset_text or offset_text .. ' ' .. time
end

for item = 1, count do
  local at = starts[item]
  local index = tonumber(ARGV[at])
  if index then
    local result, error = log_event(at, index)
    if error then
      return redis.error_reply(error)
    end
    results[item] = result
  else
    if ARGV[at] == 'H' then
      tell_epochs()
    end
    parts = parts + 1
    frames[parts] = frame(ARGV[at] .. ' ' .. ARGV[at + 1], ARGV[at + 2])
    results[item] = 'E'
  end
end
if #fresh > 0 then
  call('HSET', NEWER, unpack(fresh))
end

-- A log is trimmed with each sixteenth event, of so many expired entries at most: more than come meanwhile, so that one which is
-- only written shrinks too.
local TRIM_EVERY, EXPIRED_MAX = 16, 256

-- The first entry from there on, if it has expired.
local function expired(log, from, cutoff)
  local entry = call('XRANGE', log, from, '+', 'COUNT', '1')[1]
  return entry and sub(entry[2][1], 33, 49) <= cutoff and entry
end

-- What is beyond the length, and what has expired.
local function trim(log, at)
  call('XTRIM', log, 'MAXLEN', '~', ARGV[at + 1])
  local cutoff = ago(tonumber(ARGV[at + 3]))
  -- Mostly none has, or as many as came.
  local first = expired(log, '-', cutoff)
  if not first then
    return
  end
  first = tonumber(match(first[1], '^%d+'))
  local low, high = first + 1, first + TRIM_EVERY
  if expired(log, format('%d-0', high), cutoff) then
    low, high = high + 1, first + EXPIRED_MAX
  end
  -- Times only grow, so bisection finds the first that stays; what is looked at is read whole, and may be long.
  while low < high do
    local middle = floor((low + high) / 2)
    if expired(log, format('%d-0', middle), cutoff) then
      low = middle + 1
    else
      high = middle
    end
  end
  call('XTRIM', log, 'MINID', format('%d-0', low))
end

for index, channel in ipairs(channels) do
  if channel.offset > before[index] then
    local at, key, log = CHANNELS_AT + CHANNEL_ARGS * (index - 1), KEYS[4 + 2 * index], KEYS[5 + 2 * index]
    -- Setting an expiry costs more than the event: it is set anew only when a quarter of the life has gone.
    local life_s = tonumber(ARGV[at + 2]) / 1000
    if now_s - channel.set_at > life_s / 4 then
      channel.set_at = now_s
      local seconds = format('%d', math.ceil(life_s * 5 / 4))
      call('SET', key, pack_channel(channel), 'EX', seconds)
      call('EXPIRE', log, seconds)
    else
      -- All metas have one length, and this keeps the expiry: less work than SET with KEEPTTL.
      call('SETRANGE', key, '0', pack_channel(channel))
    end
    if floor(channel.offset / TRIM_EVERY) > floor(before[index] / TRIM_EVERY) then
      trim(log, at)
    end
  end
end

do
  local epochs = {}
  for index, channel in ipairs(channels) do
    epochs[index] = channel.epoch
  end
  about = ' ' .. now .. ' ' .. table.concat(epochs)
  if forgotten_early > 0 then
    about = about .. format(' %d', forgotten_early)
  end
end
