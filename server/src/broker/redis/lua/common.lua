-- What all scripts share. Times are 17 digits (100 ns since 1970), more than a double holds: they stay strings of equal
-- length and are compared as such. Epochs and tags are 16 hex digits. All numbers stay below 10^14, up to which Lua
-- writes them without an exponent.

local NO_TAG = string.rep('0', 16)

local clock = redis.call('TIME')
local now_s = tonumber(clock[1])
local now_ms = now_s * 1000 + math.floor(tonumber(clock[2]) / 1000)
local now = string.format('%010d%06d0', now_s, tonumber(clock[2]))

-- The time so many ms ago.
local function ago(ms)
  local at = math.max(now_ms - ms, 0)
  return string.format('%010d%03d0000', math.floor(at / 1000), at % 1000)
end

-- The tick after a time.
local function after(time)
  local seconds, ticks = tonumber(string.sub(time, 1, 10)), tonumber(string.sub(time, 11)) + 1
  if ticks == 10000000 then
    seconds, ticks = seconds + 1, 0
  end
  return string.format('%010d%07d', seconds, ticks)
end

-- A name for a new life of a log: from the caller's randomness, since a script has none of its own.
local function new_epoch(seed, name)
  return string.sub(redis.sha1hex(seed .. name), 1, 16)
end

-- A channel's meta is one packed string: epoch, tag and time of the top, then "gen offset seq".
local function unpack_channel(raw)
  local gen, offset, seq = string.match(raw, '^(%d+) (%d+) (%d+)', 50)
  return {
    epoch = string.sub(raw, 1, 16), tag = string.sub(raw, 17, 32), time = string.sub(raw, 33, 49),
    gen = tonumber(gen), offset = tonumber(offset), seq = tonumber(seq),
  }
end

local function pack_channel(channel)
  return channel.epoch .. channel.tag .. channel.time .. channel.gen .. ' ' .. channel.offset .. ' ' .. channel.seq
end

-- The channel as it stands in this generation. One that was never written stands before its first event under the
-- partition's own epoch; one from before the floor may have lost events that nobody could name, and begins a new life.
local function load_channel(key, name, part, seed)
  local raw = redis.call('GET', key)
  if not raw then
    return { epoch = part.epoch, tag = NO_TAG, time = string.rep('0', 17), gen = part.gen, offset = 0, seq = 0 }
  end
  local channel = unpack_channel(raw)
  if channel.gen < part.floor then
    channel.epoch, channel.gen, channel.changed = new_epoch(seed, name), part.gen, true
  end
  return channel
end

-- A partition's meta is one packed string too: version, tag of the stream's top, epoch of unwritten channels, then
-- numbers, lineage and marks. Nil where nobody has settled the partition yet.
local function load_part(key)
  local raw = redis.call('GET', key)
  if not raw then
    return nil
  end
  local gen, floor, pseq, epoch_at, dedup, dedup_at, bytes, lineage, marks =
    string.match(raw, '^(%d+) (%d+) (%d+) (%d+) (%d) (%d+) (%d+) (%S+) (.*)$', 34)
  return {
    ptag = string.sub(raw, 2, 17), epoch = string.sub(raw, 18, 33), gen = tonumber(gen), floor = tonumber(floor),
    pseq = tonumber(pseq), epoch_at = tonumber(epoch_at), dedup = tonumber(dedup), dedup_at = tonumber(dedup_at),
    bytes = tonumber(bytes), lineage = lineage, marks = marks,
  }
end

local function save_part(key, part)
  redis.call('SET', key, '1' .. part.ptag .. part.epoch .. part.gen .. ' ' .. part.floor .. ' ' .. part.pseq .. ' '
    .. part.epoch_at .. ' ' .. part.dedup .. ' ' .. part.dedup_at .. ' ' .. part.bytes .. ' ' .. part.lineage .. ' '
    .. part.marks)
end

-- One item of an entry of the stream: lengths, head, body.
local function frame(head, body)
  return #head .. ' ' .. #body .. ' ' .. head .. body
end

-- Adds an entry to the partition's stream. The caller saves the meta.
local function post(stream, part, tag, frames)
  redis.call('XADD', stream, 'MAXLEN', '~', 20000, (part.pseq + 1) .. '-0', 'B1 ' .. tag .. ' ' .. part.ptag, frames)
  part.pseq, part.ptag = part.pseq + 1, tag
end

-- What a script answers that must not go on: the caller settles the partition's generation first.
local function unsettled(part)
  return 'LINEAGE ' .. (part and part.gen or 0)
end

-- Whether the caller knows the partition as it is.
local function is_settled(part, lineage, gen)
  return part and part.lineage == lineage and part.gen == tonumber(gen)
end
