#!lua name=omapush_event_logs
-- Event logs of the pushes of one push shard, written to and erased from besides what results and notifications add.
-- The structures are those of pushes.lua; every key of a call carries the tag of that shard.

-- uses lines.lua

-- Take out what a push says of one recipient whose result is final, and lines of its event log.
-- KEYS push, log    ARGV index or '', recipient and result in place of its own, where a line is, event, where ...;
-- a line is in a field of the push, or has a number in the list
-- Answers 1, or 0 when the result is not final or the push is gone.
local function erase_recipient(keys, args)
  if args[1] ~= '' then
    if redis.call('HEXISTS', keys[1], 'f' .. args[1]) == 0 then
      return 0
    end
    redis.call('HSET', keys[1], 'a' .. args[1], args[2], 'r' .. args[1], args[3])
  end
  local length = redis.call('LLEN', keys[2])
  for i = 4, #args, 2 do
    local number = tonumber(args[i])
    if not number then
      if redis.call('HEXISTS', keys[1], args[i]) == 1 then
        redis.call('HSET', keys[1], args[i], args[i + 1])
      end
    elseif number < length then
      redis.call('LSET', keys[2], number, args[i + 1])
    end
  end
  return 1
end

-- Add events to logs of pushes that are still known; not to one that is too long.
-- KEYS push, log, push ...    ARGV event for each
local function note(keys, args)
  for i, event in ipairs(args) do
    local push, log = keys[2 * i - 1], keys[2 * i]
    note_line(push, log, redis.call('HGET', push, 'lines'), event)
  end
  return #args
end

redis.register_function('omapush_erase_recipient', erase_recipient)
redis.register_function('omapush_note', note)
