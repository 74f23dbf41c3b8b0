-- Looks whether entries that a node acknowledged or delivered are still in their logs. A channel that lost one begins a
-- new life: its surviving events stay, under a new epoch and a new generation of the partition, and the stream tells all nodes.
--
-- KEYS: meta, stream, then meta and log of each channel.
-- ARGV: seed, the highest generation that the node knows, then name, epoch, offset and tag of each channel's last known entry,
-- and a generation in which that entry's life had begun.
-- Answers: for each channel a word (PRESENT, LOST, CHANGED), epoch, offset and tag of its top, and the generation of its life.

local META, STREAM = KEYS[1], KEYS[2]
local seed, known_gen = ARGV[1], tonumber(ARGV[2])
-- How long a channel without entries keeps the epoch that it was given here: for as long as an event lives that was lost.
local EPOCH_MS = (2 * EPOCH_S + 60) * 1000
local part = load_part(META)
if not part then
  return unsettled(part)
end
local results = {}
-- The generation in which lives begin here. It becomes the partition's: a channel ahead of its partition would reach the next
-- floor, and keep its epoch where all others lose theirs.
local life = math.max(part.gen, known_gen) + 1

local function is_there(channel, log, offset, tag)
  if channel.offset < offset then
    return false
  end
  if channel.offset == offset then
    return channel.tag == tag
  end
  local entry = redis.call('XRANGE', log, offset .. '-0', '+', 'COUNT', 1)[1]
  -- Trimmed by retention: what comes after it is there, so it was.
  return not entry or tonumber(string.match(entry[1], '^%d+')) > offset or string.sub(entry[2][1], 1, 16) == tag
end

local told = {}

for index = 1, (#ARGV - 2) / 5 do
  local at = index * 5 - 2
  local name, epoch, offset, tag, known_in = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3], tonumber(ARGV[at + 4])
  local key, log = KEYS[index * 2 + 1], KEYS[index * 2 + 2]
  local raw = redis.call('GET', key)
  local channel = load_channel(key, name, part, seed)
  local word = 'PRESENT'
  -- Another epoch is a newer life only when it began under a newer generation than the known one. Otherwise the log was
  -- rolled back to a life before the known one, whose offsets would be given again; so they would where the channel is gone.
  if raw and channel.epoch ~= epoch and channel.gen > known_in then
    word = 'CHANGED'
  elseif not raw or channel.epoch ~= epoch or not is_there(channel, log, offset, tag) then
    word = 'LOST'
    channel.epoch, channel.gen = new_epoch(seed, name), life
    if raw then
      redis.call('SET', key, pack_channel(channel), 'KEEPTTL')
    else
      redis.call('SET', key, pack_channel(channel), 'PX', EPOCH_MS)
    end
    told[#told + 1] =
      frame('N ' .. name .. ' ' .. channel.epoch .. ' ' .. channel.offset .. ' ' .. channel.tag .. ' ' .. offset, '')
  end
  results[#results + 1] = word
  results[#results + 1] = channel.epoch
  results[#results + 1] = tostring(channel.offset)
  results[#results + 1] = channel.tag
  results[#results + 1] = tostring(channel.gen)
end
if #told > 0 then
  part.gen = life
  told[#told + 1] = frame(format('G %d %d', part.gen, part.floor), '')
  post(STREAM, part, new_epoch(seed, 'lost'), table.concat(told))
  save_part(META, part)
end
return results
