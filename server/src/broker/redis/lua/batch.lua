-- How every batch begins, before what is in it: nothing is written unless the caller knows the partition as it is, the
-- batch is new, and it is not too late.
--
-- KEYS: meta, stream, dedup 0, dedup 1, batches.
-- ARGV: lineage, gen, not_after (ms), owner, number, seed, bytes of the stream at most, how many items.

local owner, number, seed, count = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[8])
local META, STREAM, BATCHES = KEYS[1], KEYS[2], KEYS[5]

local part = load_part(META)
if not is_settled(part, ARGV[1], ARGV[2]) then
  return unsettled(part)
end
-- The same batch again: its first answer may have been lost on the way.
if call('HGET', BATCHES, owner) == number then
  return call('HGET', BATCHES, owner .. ':answer')
end
if now_ms > tonumber(ARGV[3]) then
  return 'LATE'
end
-- A stream that is ahead of its meta was not written by these scripts: nothing of it can be relied on.
local ahead = call('XREVRANGE', STREAM, '+', format('(%d-0', part.pseq), 'COUNT', '1')[1]
if ahead then
  part.pseq, part.gen = tonumber(match(ahead[1], '^%d+')), part.gen + 1
  part.floor = part.gen
  post(STREAM, part, seed, frame('G ' .. part.gen .. ' ' .. part.floor, ''))
  save_part(META, part)
  return unsettled(part)
end

-- What becomes the stream's entry, in pieces: they are joined once.
local frames, parts = {}, 0
-- A line for each item, and what the first line says beside the entry's number.
local results, about = {}, ''
