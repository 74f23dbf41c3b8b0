-- How every batch ends: one entry with all of it in the partition's stream, and an answer that is kept, so that the batch is
-- known when it comes again. The answer: the entry's number, then a line for each item.

-- The stream is cut at marks, each a share of what it may hold.
local MARKS_MAX = 8

if parts > 0 then
  local all = table.concat(frames)
  post(STREAM, part, seed, all)
  part.bytes = part.bytes + #all
end
if part.bytes >= tonumber(ARGV[7]) / MARKS_MAX then
  part.bytes, part.marks = 0, part.marks .. format('%d ', part.pseq)
  local _, kept = string.gsub(part.marks, ' ', '')
  if kept > MARKS_MAX then
    local first, rest = match(part.marks, '^(%d+) (.*)$')
    part.marks = rest
    call('XTRIM', STREAM, 'MINID', '~', first .. '-0')
  end
end
save_part(META, part)
local answer = format('%d', part.pseq) .. about .. '\n' .. table.concat(results, '\n')
call('HSET', BATCHES, owner, number, owner .. ':answer', answer)
return answer
