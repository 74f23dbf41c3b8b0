-- One node's word on a partition whose Redis has a new lineage (another process, or another replication history), and
-- the verdict once all have spoken: nothing lost, and appends go on under the next generation; or a node that may have
-- acknowledged something is missing, and every channel of the partition begins a new life.
--
-- KEYS: meta, stream, dedup 0, dedup 1, words (what the nodes said), members (who ever settled here), batches.
-- ARGV: lineage, node, the node's gen, its last pseq (0: none), that entry's tag, checked (1: it has looked for what it
-- lost and named it, 2: it cannot name all of it), sure (1: it knows who is alive), seed, wait (ms), the node's floor,
-- left (1: it has spoken to another lineage since it used this one), renew (a generation that ends here; 0: none), the generation
-- under which the node was settled on this lineage and took all it knows from it since (0: none), live nodes...
-- Answers: a word, gen, pseq, ptag, floor. The word is SETTLED, WAIT, or CHECK: look for what was lost; or BEHIND, which
-- is CHECK where the partition is settled already.

local META, STREAM, WORDS, MEMBERS, BATCHES = KEYS[1], KEYS[2], KEYS[5], KEYS[6], KEYS[7]
local lineage, node, gen = ARGV[1], ARGV[2], tonumber(ARGV[3])
local last, tag, sure = tonumber(ARGV[4]), ARGV[5], ARGV[7] == '1'
local checked, cannot_tell = ARGV[6] ~= '0', ARGV[6] == '2'
local seed, patience, own_floor = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local has_left, renew, settled_under = ARGV[11] == '1', tonumber(ARGV[12]), tonumber(ARGV[13])

local part = load_part(META)

local function answer(word)
  local known = part or { gen = 0, pseq = 0, ptag = NO_TAG, floor = 0 }
  return { word, tostring(known.gen), tostring(known.pseq), known.ptag, tostring(known.floor) }
end

-- If the node's last entry is there, nothing before it is missing: a promoted or restored copy holds a prefix.
local function has_last()
  if last == 0 then
    return true
  end
  if not part or part.pseq < last then
    return false
  end
  if part.pseq == last then
    return part.ptag == tag
  end
  local id = last .. '-0'
  local entry = redis.call('XRANGE', STREAM, id, id)[1]
  if entry then
    return string.sub(entry[2][1], 4, 19) == tag
  end
  -- Trimmed: the stream has gone on. A lineage is one process's, which loses nothing as long as it lives; and one that was emptied
  -- since is settled under another generation.
  return part.lineage == lineage and part.gen == settled_under
end

-- Channels from before this generation begin a new life: those that were never written here, too.
local function raise_floor(to)
  if to > part.floor then
    part.floor, part.epoch, part.epoch_at = to, new_epoch(seed, ''), now_s
  end
end

local function announce()
  post(STREAM, part, new_epoch(seed, 'settled'), frame('G ' .. part.gen .. ' ' .. part.floor, ''))
  save_part(META, part)
end

local present = has_last()
if part and part.lineage == lineage and part.gen <= renew then
  -- The failover was called off: what was said to the other primary is no word on this one. All speak anew.
  part.lineage = ''
  save_part(META, part)
end
if part and part.lineage == lineage then
  redis.call('HSET', MEMBERS, node, now_ms)
  if not present and not checked then
    return answer('BEHIND')
  end
  if not present and cannot_tell then
    part.gen = math.max(part.gen, gen) + 1
    raise_floor(part.gen)
    announce()
  elseif not has_left and (part.gen < gen or part.floor < own_floor) then
    -- It was not heard when this copy was settled, and knows of a verdict that the copy does not hold.
    part.gen = math.max(part.gen, gen) + 1
    raise_floor(own_floor)
    announce()
  end
  return answer('SETTLED')
end

if redis.call('HGET', WORDS, 'lineage') ~= lineage then
  redis.call('UNLINK', WORDS)
  redis.call('HSET', WORDS, 'lineage', lineage, 'since', now_ms)
end
-- A copy may be older than a verdict that its nodes know of: what that one ended must not come back.
local function highest(field, own)
  local known = math.max(own, tonumber(redis.call('HGET', WORDS, field) or 0))
  redis.call('HSET', WORDS, field, string.format('%d', known))
  return known
end
local known_gen, known_floor = highest('gen', gen), highest('floor', own_floor)

local word = (present or checked) and 'done' or 'checking'
redis.call('HSET', WORDS, 'n:' .. node, word)
if word == 'checking' then
  return answer('CHECK')
end
if cannot_tell then
  redis.call('HSET', WORDS, 'unsure', '1')
end

local required = {}
for index = 14, #ARGV do
  required[ARGV[index]] = true
end
for _, member in ipairs(redis.call('HKEYS', MEMBERS)) do
  if sure and not required[member] and member ~= node then
    redis.call('HDEL', MEMBERS, member)
    for lane = 0, 2 do
      redis.call('HDEL', BATCHES, member .. '/' .. lane, member .. '/' .. lane .. ':answer')
    end
  else
    required[member] = true
  end
end
local missing = redis.call('HGET', WORDS, 'unsure') == '1'
for other in pairs(required) do
  if redis.call('HGET', WORDS, 'n:' .. other) ~= 'done' then
    missing = true
  end
end
if missing and now_ms - tonumber(redis.call('HGET', WORDS, 'since')) < patience then
  return answer('WAIT')
end

if not part then
  part = {
    pseq = 0, ptag = NO_TAG, gen = 0, floor = 0, epoch = new_epoch(seed, ''), epoch_at = now_s, dedup = 0,
    dedup_at = now_ms, bytes = 0, marks = '',
  }
  -- Entries without a meta are nobody's.
  redis.call('UNLINK', STREAM, KEYS[3], KEYS[4])
  redis.call('HSET', KEYS[3], '', '')
  redis.call('HSET', KEYS[4], '', '')
end
part.gen, part.lineage = math.max(part.gen, known_gen) + 1, lineage
raise_floor(missing and part.gen or known_floor)
announce()
redis.call('UNLINK', WORDS)
redis.call('HSET', MEMBERS, node, now_ms)
return answer('SETTLED')
