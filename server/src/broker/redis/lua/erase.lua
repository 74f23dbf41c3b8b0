-- Ends for good what some entries of a channel's log said. Neither XDEL nor XTRIM gives back the bytes of an entry whose
-- neighbours stay, so the log is written anew beside itself, with the same ids, heads and order, and takes its own place. A
-- long log takes several calls, between which appends go on; the partition's stream is cut in the last one.
--
-- KEYS: meta, stream, meta of the channel, log, the log's copy, who copies.
-- ARGV: lineage, gen, channel, epoch, token of this erasure, the offsets.
-- Answers: LINEAGE gen, or a list: a word and gen. DONE; MORE: call again at once; TAKEN: another erasure of this channel is
-- under way; CHANGED: the log is in another life, nothing was done; UNKNOWN: an entry of a later form, nothing was done.

local META, STREAM, LOG, COPY, COPIER = KEYS[1], KEYS[2], KEYS[4], KEYS[5], KEYS[6]
local name, epoch, token = ARGV[3], ARGV[4], ARGV[5]
-- What one call copies at most: it stays below 2 ms.
local ENTRIES_MAX, BYTES_MAX, CHUNK = 256, 262144, 16
-- After so long without a call somebody else begins anew; and what is left behind by nobody goes by itself.
local STALE_MS, LIFE_MS = 3000, 60000
-- The newest entries of the stream stay where they are if they do not hold what is erased, so that a tail which is a moment
-- behind need not ask the logs.
local KEPT_MAX, KEPT_BYTES_MAX = 64, 262144

local part = load_part(META)
if not is_settled(part, ARGV[1], ARGV[2]) then
  return unsettled(part)
end
local function answer(word)
  return { word, tostring(part.gen) }
end
local channel = channel_from(call('GET', KEYS[3]), name, part, ARGV[5])
if channel.epoch ~= epoch then
  return answer('CHANGED')
end

local function kind_bytes(body)
  return struct.unpack('>I2', body, 3)
end

-- Version 1 of a body: its kind stays, without id, user, tags and payload.
local function tombstone(body)
  return '\1x' .. sub(body, 3, 4 + kind_bytes(body)) .. '\255\255\255\255\0\0'
end

-- By offset what was asked for, and by id what there is to be done.
local asked, wanted = {}, {}
for index = 6, #ARGV do
  local id = ARGV[index] .. '-0'
  asked[ARGV[index]] = true
  local entry = call('XRANGE', LOG, id, id)[1]
  if entry then
    local body = entry[2][2]
    if string.byte(body) ~= 1 then
      return answer('UNKNOWN')
    end
    if sub(body, 2, 2) ~= 'x' and sub(body, 5, 4 + kind_bytes(body)) ~= 'erase' then
      wanted[id] = true
    end
  end
end

local function holds_any(value)
  local needle, at = 'L ' .. name .. ' ', 1
  while true do
    local _, last = string.find(value, needle, at, true)
    if not last then
      return false
    end
    if asked[match(value, '^(%d+) ', last + 1)] then
      return true
    end
    at = last + 1
  end
end

-- What the stream still holds of it goes. All of it: what is trimmed out of a block of Redis's stays in it.
local function cut()
  local kept, bytes = {}, 0
  for _, entry in ipairs(call('XREVRANGE', STREAM, '+', '-', 'COUNT', KEPT_MAX)) do
    bytes = bytes + #entry[2][2]
    if bytes > KEPT_BYTES_MAX or holds_any(entry[2][2]) then
      break
    end
    kept[#kept + 1] = entry
  end
  if #kept == call('XLEN', STREAM) then
    return
  end
  call('XTRIM', STREAM, 'MAXLEN', 0)
  if #kept > 0 then
    call('XSETID', STREAM, format('%d-0', tonumber(match(kept[#kept][1], '^%d+')) - 1))
  end
  for index = #kept, 1, -1 do
    call('XADD', STREAM, kept[index][1], kept[index][2][1], kept[index][2][2])
  end
end

if not next(wanted) then
  cut()
  return answer('DONE')
end

local copier = call('GET', COPIER)
if copier and sub(copier, 1, 16) ~= token and now_ms - tonumber(sub(copier, 17)) < STALE_MS then
  return answer('TAKEN')
end
local is_mine = copier and sub(copier, 1, 16) == token
if not is_mine and call('EXISTS', COPY) == 1 then
  -- The next call begins: while a slot moves, a key that was just deleted cannot be made again.
  call('UNLINK', COPY)
  call('SET', COPIER, token .. format('%d', now_ms), 'PX', LIFE_MS)
  return answer('MORE')
end

-- Whatever happened to an earlier call: the copy itself says how far it goes.
local from = '-'
local copied_last = is_mine and call('EXISTS', COPY) == 1 and call('XREVRANGE', COPY, '+', '-', 'COUNT', '1')[1]
if copied_last then
  from = '(' .. copied_last[1]
end
local entries, bytes, is_whole = 0, 0, false
repeat
  local chunk = call('XRANGE', LOG, from, '+', 'COUNT', CHUNK)
  for _, entry in ipairs(chunk) do
    local id, body = entry[1], entry[2][2]
    call('XADD', COPY, id, entry[2][1], wanted[id] and tombstone(body) or body)
    from, entries, bytes = '(' .. id, entries + 1, bytes + #body
  end
  is_whole = #chunk < CHUNK
until is_whole or entries >= ENTRIES_MAX or bytes >= BYTES_MAX
if not is_whole then
  call('PEXPIRE', COPY, LIFE_MS)
  call('SET', COPIER, token .. format('%d', now_ms), 'PX', LIFE_MS)
  return answer('MORE')
end

-- Retention went on in the log meanwhile.
call('XTRIM', COPY, 'MINID', call('XRANGE', LOG, '-', '+', 'COUNT', '1')[1][1])
local left = call('PTTL', LOG)
call('RENAME', COPY, LOG)
if left >= 0 then
  call('PEXPIRE', LOG, math.max(left, 1))
else
  call('PERSIST', LOG)
end
if copier then
  call('DEL', COPIER)
end
cut()
return answer('DONE')
