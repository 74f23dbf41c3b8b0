-- Reads a channel's top and a page of its log in one consistent view.
--
-- KEYS: meta of the partition, meta of the channel, log.
-- ARGV: lineage, gen, seed, channel, range, from, limit, len max, age (ms).
-- Answers: LINEAGE gen, or a list: epoch, top offset, top tag, oldest retained offset, more (0 or 1), gen, then
-- id ("offset-0"), head and body of each entry in a list; then pseq and tag of the stream's end; then the epoch under which the
-- place before the first event was known, too ("": of none that can be told).

local part = load_part(KEYS[1])
if not is_settled(part, ARGV[1], ARGV[2]) then
  return unsettled(part)
end
local name, range, from, limit = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local len_max, age = tonumber(ARGV[8]), tonumber(ARGV[9])
local LOG = KEYS[3]
-- A page ends when it holds this much.
local BYTES_MAX = 1048576
local CHUNK = 100

local channel = load_channel(KEYS[2], name, part, ARGV[3])
if channel.changed then
  redis.call('SET', KEYS[2], pack_channel(channel), 'KEEPTTL')
end
local top = channel.offset

local function number_of(id)
  return tonumber(match(id, '^%d+'))
end

local function time_at(offset)
  local entry = redis.call('XRANGE', LOG, offset .. '-0', '+', 'COUNT', 1)[1]
  return entry and string.sub(entry[2][1], 33, 49)
end

-- The first offset in low..top whose time is later; top + 1 when none is. Times only grow, so bisection finds it.
local function first_after(low, time)
  local high = top + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local found = time_at(middle)
    if found and found > time then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

local function oldest_retained()
  local first = top > 0 and redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
  if not first then
    return top + 1
  end
  local low = math.max(number_of(first[1]), top - len_max + 1)
  local cutoff = ago(age)
  local time = low <= top and time_at(low)
  if time and time <= cutoff then
    low = first_after(low, cutoff)
  end
  return low
end

local out = {}
local taken, total = 0, 0

-- At least one entry, so that who reads on gets further.
local function take(entries)
  for _, entry in ipairs(entries) do
    if total >= BYTES_MAX then
      return
    end
    local said = entry[2]
    out[3 * taken + 1], out[3 * taken + 2], out[3 * taken + 3] = entry[1], said[1], said[2]
    taken, total = taken + 1, total + #said[2] + 128
  end
end

local function forward(first)
  while taken < limit and first <= top do
    local chunk = math.min(CHUNK, limit - taken)
    local entries = redis.call('XRANGE', LOG, first .. '-0', top .. '-0', 'COUNT', chunk)
    if #entries == 0 then
      return false
    end
    take(entries)
    first = number_of(out[#out - 2]) + 1
    if total >= BYTES_MAX then
      break
    end
  end
  return first <= top
end

local function backward(last, oldest)
  while taken < limit and last >= oldest do
    local chunk = math.min(CHUNK, limit - taken)
    local entries = redis.call('XREVRANGE', LOG, last .. '-0', oldest .. '-0', 'COUNT', chunk)
    if #entries == 0 then
      return false
    end
    take(entries)
    last = number_of(out[#out - 2]) - 1
    if total >= BYTES_MAX then
      break
    end
  end
  return last >= oldest
end

local oldest, more = 0, false
if range ~= 'top' then
  oldest = oldest_retained()
  if range == 'after' then
    more = forward(math.max(tonumber(from) + 1, oldest))
  elseif range == 'after_time' then
    more = forward(first_after(oldest, from))
  elseif range == 'before' then
    more = backward(math.min(tonumber(from) - 1, top), oldest)
  else
    local low = first_after(oldest, from) - 1
    if low >= oldest and time_at(low) == from then
      low = low - 1
    end
    more = backward(low, oldest)
  end
end
local unwritten, unwritten_before = unwritten_epochs(part)
local known_as = channel.epoch == unwritten and unwritten_before or ''
return {
  channel.epoch, tostring(top), channel.tag, tostring(oldest), more and '1' or '0', tostring(part.gen), out, tostring(part.pseq),
  part.ptag, known_as,
}
