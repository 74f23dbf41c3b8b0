-- What all scripts share. Rules of this file: times are 17 digits (100 ns since 1970), more than a double holds, so
-- they stay strings of equal length and are compared as such. Epochs and tags are 16 hex digits.

local NO_TAG = string.rep('0', 16)

local clock = redis.call('TIME')
local now_s = tonumber(clock[1])
local now_ms = now_s * 1000 + math.floor(tonumber(clock[2]) / 1000)
local now = string.format('%010.0f%06.0f0', now_s, tonumber(clock[2]))

-- `tostring` writes large numbers with an exponent.
local function digits(number)
  return string.format('%.0f', number)
end

-- The tick after a time.
local function after(time)
  local seconds, ticks = tonumber(string.sub(time, 1, 10)), tonumber(string.sub(time, 11)) + 1
  if ticks == 10000000 then
    seconds, ticks = seconds + 1, 0
  end
  return string.format('%010.0f%07.0f', seconds, ticks)
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
  return channel.epoch .. channel.tag .. channel.time .. digits(channel.gen) .. ' ' .. digits(channel.offset)
    .. ' ' .. digits(channel.seq)
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

-- A partition's meta, or nil where nobody has settled it yet.
local function load_part(key)
  local raw = redis.call('HMGET', key, 'gen', 'lineage', 'pseq', 'ptag', 'epoch', 'epoch_at', 'floor')
  if not raw[1] then
    return nil
  end
  return {
    gen = tonumber(raw[1]), lineage = raw[2], pseq = tonumber(raw[3]), ptag = raw[4], epoch = raw[5],
    epoch_at = tonumber(raw[6]), floor = tonumber(raw[7]),
  }
end

-- What a script answers that must not go on: the caller settles the partition's generation first.
local function unsettled(part)
  if part then
    return 'LINEAGE ' .. digits(part.gen)
  end
  return 'LINEAGE 0'
end

-- Whether the caller knows the partition as it is.
local function is_settled(part, lineage, gen)
  return part and part.lineage == lineage and part.gen == tonumber(gen)
end
