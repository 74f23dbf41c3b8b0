-- What all scripts share. Times are 17 digits (100 ns since 1970), more than a double holds: they stay strings of equal
-- length and are compared as such. Epochs and tags are 16 hex digits. All numbers stay below 2^53.
--
-- Most of a script's time is spent on making strings: join them by `..`, write a number by format('%d') and once only
-- (`..` and '%s' go by way of the C library's printf), keep what is stored packed by `struct`.

local KEYS, ARGV = KEYS, ARGV
local call = redis.call
local format, sub, match, floor = string.format, string.sub, string.match, math.floor
local NO_TAG = '0000000000000000'
-- How long the epoch of unwritten channels holds. A channel lives for more than two of these after its last event
-- (`LIFE_MIN` in `batch.rs`). So one that died and is born again never takes the same epoch twice. And where a log began under
-- one of these epochs, or would begin now, none had begun under the one before: who stood before the first event then stands
-- there now, and has missed nothing else.
local EPOCH_S = 3600

local clock = call('TIME')
local now_s, now_us = tonumber(clock[1]), tonumber(clock[2])
local now_ms = now_s * 1000 + floor(now_us / 1000)
local now = clock[1] .. format('%06d0', now_us)

-- The time so many ms ago.
local function ago(ms)
  local at = math.max(now_ms - ms, 0)
  return format('%010d%03d0000', floor(at / 1000), at % 1000)
end

-- The tick after a time.
local function after(time)
  local seconds, ticks = tonumber(sub(time, 1, 10)), tonumber(sub(time, 11)) + 1
  if ticks == 10000000 then
    seconds, ticks = seconds + 1, 0
  end
  return format('%010d%07d', seconds, ticks)
end

-- A name for a new life of a log: from the caller's randomness, since a script has none of its own.
local function new_epoch(seed, name)
  return sub(redis.sha1hex(seed .. name), 1, 16)
end

-- The epochs of unwritten channels, the present one and the one before. They follow from the clock alone: who only reads knows
-- them too, and a partition in which nothing happens for long has new ones all the same.
local function unwritten_epochs(part)
  if not part.unwritten then
    local number = floor((now_s - part.epoch_at) / EPOCH_S)
    part.unwritten, part.unwritten_before =
      new_epoch(part.epoch, format('%d', number)), new_epoch(part.epoch, format('%d', number - 1))
  end
  return part.unwritten, part.unwritten_before
end

-- A channel's meta: version, epoch, tag and time of the top, gen, offset, seq, and when its expiry was set (s).
local CHANNEL = '>Bc16c16c17I6I7I7I5'

local function unpack_channel(raw)
  local _, epoch, tag, time, gen, offset, seq, set_at = struct.unpack(CHANNEL, raw)
  return { epoch = epoch, tag = tag, time = time, gen = gen, offset = offset, seq = seq, set_at = set_at }
end

local function pack_channel(channel)
  return struct.pack(CHANNEL, 1, channel.epoch, channel.tag, channel.time, channel.gen, channel.offset, channel.seq, channel.set_at)
end

-- The channel as it stands in this generation. One that was never written stands before its first event under the
-- partition's present epoch for such; one from before the floor may have lost events that nobody could name, and begins a new life.
local function channel_from(raw, name, part, seed)
  if not raw then
    local epoch = unwritten_epochs(part)
    return { epoch = epoch, tag = NO_TAG, time = '00000000000000000', gen = part.gen, offset = 0, seq = 0, set_at = 0 }
  end
  local channel = unpack_channel(raw)
  if channel.gen < part.floor then
    channel.epoch, channel.gen, channel.changed = new_epoch(seed, name), part.gen, true
  end
  return channel
end

local function load_channel(key, name, part, seed)
  return channel_from(call('GET', key), name, part, seed)
end

-- A partition's meta: version, tag of the stream's top, what the epochs of unwritten channels are made of, gen, floor, pseq,
-- epoch_at (s; they are counted from there), which
-- dedup half is current and since when (ms), bytes since the last mark, lineage, marks. Nil where nobody has settled it.
local PART = '>Bc16c16I6I6I7I5BI7I7ss'

local function load_part(key)
  local raw = call('GET', key)
  if not raw then
    return nil
  end
  local _, ptag, epoch, gen, floor_, pseq, epoch_at, dedup, dedup_at, bytes, lineage, marks = struct.unpack(PART, raw)
  return {
    ptag = ptag, epoch = epoch, gen = gen, floor = floor_, pseq = pseq, epoch_at = epoch_at, dedup = dedup,
    dedup_at = dedup_at, bytes = bytes, lineage = lineage, marks = marks,
  }
end

local function save_part(key, part)
  call('SET', key, struct.pack(PART, 1, part.ptag, part.epoch, part.gen, part.floor, part.pseq, part.epoch_at, part.dedup,
    part.dedup_at, part.bytes, part.lineage, part.marks))
end

-- One item of an entry of the stream: lengths, head, body.
local function frame(head, body)
  return format('%d %d ', #head, #body) .. head .. body
end

-- Adds an entry to the partition's stream. The caller saves the meta.
local function post(stream, part, tag, frames)
  part.pseq = part.pseq + 1
  call('XADD', stream, 'MAXLEN', '~', '20000', format('%d-0', part.pseq), 'B1 ' .. tag .. ' ' .. part.ptag, frames)
  part.ptag = tag
end

-- What a script answers that must not go on: the caller settles the partition's generation first.
local function unsettled(part)
  return 'LINEAGE ' .. (part and part.gen or 0)
end

-- Whether the caller knows the partition as it is.
local function is_settled(part, lineage, gen)
  return part and part.lineage == lineage and part.gen == tonumber(gen)
end
