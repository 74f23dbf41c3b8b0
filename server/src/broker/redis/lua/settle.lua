-- One node's word on a partition whose Redis has a new lineage (another process, or another replication history), and
-- the verdict once all have spoken: nothing lost, and appends go on under the next generation; or a node that may have
-- acknowledged something is missing, and every channel of the partition begins a new life.
--
-- KEYS: meta, stream, dedup 0, dedup 1, words (what the nodes said), members (who ever settled here).
-- ARGV: lineage, node, the node's gen, its last pseq (0: none), that entry's tag, checked (1: it has looked for what it
-- lost and named it, 2: it cannot name all of it), sure (1: it knows who is alive), seed, wait (ms), live nodes...
-- Answers: a word, gen, pseq, ptag, floor, epoch. The word is SETTLED, WAIT, or CHECK: look for what was lost.

local META, STREAM, WORDS, MEMBERS = KEYS[1], KEYS[2], KEYS[5], KEYS[6]
local lineage, node, gen = ARGV[1], ARGV[2], tonumber(ARGV[3])
local last, tag, sure = tonumber(ARGV[4]), ARGV[5], ARGV[7] == '1'
local checked, cannot_tell = ARGV[6] ~= '0', ARGV[6] == '2'
local seed, patience = ARGV[8], tonumber(ARGV[9])

local part = load_part(META)

local function answer(word)
  local known = part or { gen = 0, pseq = 0, ptag = NO_TAG, floor = 0, epoch = NO_TAG }
  return { word, digits(known.gen), digits(known.pseq), known.ptag, digits(known.floor), known.epoch }
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
  local id = digits(last) .. '-0'
  local entry = redis.call('XRANGE', STREAM, id, id)[1]
  return entry and string.sub(entry[2][1], 4, 19) == tag
end

local function announce(head)
  part.pseq = part.pseq + 1
  local mark = new_epoch(seed, 'mark' .. digits(part.pseq))
  redis.call('XADD', STREAM, digits(part.pseq) .. '-0', head .. ' ' .. mark .. ' ' .. part.ptag .. ' ' .. digits(part.gen)
    .. ' ' .. digits(part.floor), '')
  part.ptag = mark
  redis.call('HSET', META, 'pseq', digits(part.pseq), 'ptag', mark)
end

local present = has_last()
if part and part.lineage == lineage then
  redis.call('HSET', MEMBERS, node, digits(now_ms))
  if not present and not checked then
    return answer('CHECK')
  end
  if not present and cannot_tell then
    part.gen = part.gen + 1
    part.floor = part.gen
    redis.call('HSET', META, 'gen', digits(part.gen), 'floor', digits(part.floor))
    announce('G1')
  end
  return answer('SETTLED')
end

if redis.call('HGET', WORDS, 'lineage') ~= lineage then
  redis.call('UNLINK', WORDS)
  redis.call('HSET', WORDS, 'lineage', lineage, 'since', digits(now_ms))
end
local word = (present or checked) and 'done' or 'checking'
redis.call('HSET', WORDS, 'n:' .. node, word)
if word == 'checking' then
  return answer('CHECK')
end
if cannot_tell then
  redis.call('HSET', WORDS, 'unsure', '1')
end

local required = {}
for index = 10, #ARGV do
  required[ARGV[index]] = true
end
for _, member in ipairs(redis.call('HKEYS', MEMBERS)) do
  if sure and not required[member] and member ~= node then
    redis.call('HDEL', MEMBERS, member)
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
  part = { pseq = 0, ptag = NO_TAG, gen = 0, floor = 0, epoch = new_epoch(seed, ''), epoch_at = now_s }
  -- Entries without a meta are nobody's.
  redis.call('UNLINK', STREAM, KEYS[3], KEYS[4])
  redis.call('HSET', META, 'version', 1, 'epoch', part.epoch, 'epoch_at', digits(now_s), 'dcur', 0, 'dstart',
    digits(now_ms), 'bytes', 0, 'marks', '')
  redis.call('HSET', KEYS[3], '', '')
  redis.call('HSET', KEYS[4], '', '')
end
part.gen = math.max(part.gen, gen) + 1
if missing then
  part.floor = part.gen
end
redis.call('HSET', META, 'gen', digits(part.gen), 'lineage', lineage, 'floor', digits(part.floor), 'pseq',
  digits(part.pseq), 'ptag', part.ptag)
announce('G1')
redis.call('UNLINK', WORDS)
redis.call('HSET', MEMBERS, node, digits(now_ms))
return answer('SETTLED')
