#!lua name=omapush_owed
-- Results that their initiators are to be told, of the pushes of one push shard: lent to who tells them, and settled.
-- The structures are those of pushes.lua; every key of a call carries the tag of the shard.

-- uses lines.lua

-- Borrow results that are due for notification; they come back by themselves when the borrower dies.
-- KEYS notify    ARGV now ms, lease ms, most
-- Answers "<ref>.<i>" ...
local function borrow(keys, args)
  local due = redis.call('ZRANGE', keys[1], '-inf', args[1], 'BYSCORE', 'LIMIT', 0, args[3])
  local lent_until = string.format('%d', args[1] + args[2])
  for _, member in ipairs(due) do
    redis.call('ZADD', keys[1], lent_until, member)
  end
  return due
end

-- Borrow one result for longer, if it is still lent as its borrower knows it: not lent anew, put off or closed.
-- KEYS notify    ARGV member, until when it is lent in ms, until when it is to be
-- Answers 1, or 0 when it is not.
local function borrow_on(keys, args)
  local until_ms = redis.call('ZSCORE', keys[1], args[1])
  if not until_ms or tonumber(until_ms) ~= tonumber(args[2]) then
    return 0
  end
  redis.call('ZADD', keys[1], args[3], args[1])
  return 1
end

-- Close one notification: done (or given up), or put off. The push is not forgotten before that try.
-- KEYS notify, push, log    ARGV member, next try in ms or 0 for closed, event or '', how long the push is needed yet in ms
local function settle(keys, args)
  local known = redis.call('HMGET', keys[2], 'lines', 'keep', 'count', 'logs')
  -- A log may be over before its push: a line does not begin another, which would stay.
  if args[3] ~= '' then -- that of the end is always there, of tries no more than of anything else
    local write = args[2] == '0' and add_line or note_line
    write(keys[2], keys[3], known[1], args[3])
  end
  if args[2] == '0' then
    redis.call('ZREM', keys[1], args[1])
    if known[2] and known[3] == '1' then
      redis.call('EXPIRE', keys[2], known[2], 'LT')
      redis.call('EXPIRE', keys[3], known[2], 'LT')
    end
    return 1
  end
  redis.call('ZADD', keys[1], 'XX', args[2], args[1])
  redis.call('PEXPIRE', keys[2], args[4], 'GT')
  if not known[4] then
    redis.call('PEXPIRE', keys[3], args[4], 'GT')
  end
  return 1
end

redis.register_function('omapush_borrow', borrow)
redis.register_function('omapush_borrow_on', borrow_on)
redis.register_function('omapush_settle', settle)
