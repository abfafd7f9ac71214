#!lua name=omapush_fetches
-- Fetches of contents by links, and who is still to fetch. Every key of a call carries the tag of the push's shard.
--
--   push      hash   w<i> recipient took a link and its fetch is waited for, p<i> bytes that it has from the beginning
--                    on, g<i> it has all of them; and what pushes.lua has in it
--   log       list   the push's event log, as far as that is not with the push (lines.lua)
--   fetches   zset   "<ref>.<i>" recipients whose fetch is waited for; score: when their links have run out, ms

-- uses lines.lua

-- Wait for the fetch of recipients who took their links; the result stored now is no final one.
-- KEYS fetches, then for each: push, log    ARGV for each: ref, index, result, event, until when ms
-- Answers for each 1 it was fetched before, 0 it is waited for, -1 the recipient is final or the push is gone.
local function await_fetch(keys, args)
  local answer = {}
  local a = 1
  for k = 2, #keys, 2 do
    local ref, index, record, event, until_ms = args[a], args[a + 1], args[a + 2], args[a + 3], args[a + 4]
    a = a + 5
    local known = redis.call('HMGET', keys[k], 'a' .. index, 'f' .. index, 'w' .. index, 'g' .. index, 'lines')
    if not known[1] or known[2] then
      answer[#answer + 1] = -1
    else
      if not known[3] then
        redis.call('HSET', keys[k], 'r' .. index, record, 'w' .. index, 1)
        add_line(keys[k], keys[k + 1], known[5], event)
      end
      redis.call('ZADD', keys[1], until_ms, ref .. '.' .. index)
      answer[#answer + 1] = known[4] and 1 or 0
    end
  end
  return answer
end

-- Note which bytes a recipient was given.
-- KEYS push, log    ARGV index, first byte from 0, number of the byte after the last, size, event, event when it has all
-- Answers 0 it has not all yet, 1 it has and its result waits for that, 2 it has, and its result does not.
local function fetched(keys, args)
  local index, first, after, size = args[1], tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local known = redis.call('HMGET', keys[1], 'record', 'f' .. index, 'w' .. index, 'g' .. index, 'p' .. index, 'lines')
  if not known[1] then
    return 0
  end
  local has = tonumber(known[5] or 0)
  if first <= has and after > has then
    has = after
    redis.call('HSET', keys[1], 'p' .. index, has)
  end
  local complete = has >= size
  note_line(keys[1], keys[2], known[6], complete and not known[4] and args[6] or args[5])
  if not complete then
    return 0
  end
  redis.call('HSETNX', keys[1], 'g' .. index, 1)
  return known[3] and not known[2] and 1 or 2
end

redis.register_function('omapush_await_fetch', await_fetch)
redis.register_function('omapush_fetched', fetched)
