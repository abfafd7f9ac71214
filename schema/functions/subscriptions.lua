#!lua name=omapush_subscriptions
-- Subscriptions of devices in one user shard. Every key of a call carries the tag of that shard.
--
--   sub        string  Subscription (MessagePack)
--   subs       zset    ids of one application's subscriptions, or of all device profiles, all with score 0: in
--                      order of target, so that a user's are next to each other
--   sub-kinds  set     which subs there are: profile type and application
--   sub-expiry zset    ids of all subscriptions; score: when each runs out, ms
--   sub-owed   zset    ids to which a NOTIFY of state is owed; score: when it may leave, ms
--   sub-cseq   hash    id -> CSeq of its last NOTIFY; absent or 0: none yet
--   sub-flight zset    ids whose NOTIFY has no final answer yet; score: when it counts as lost, ms
--
-- A NOTIFY takes its number and its place in sub-flight in one step, so that no two of a dialog have one number
-- or are under way together, whoever sends them. All times are Redis' own.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Replace or delete records that are still what the caller read, each with its places in the other structures.
-- KEYS sub-expiry, sub-owed, sub-cseq, sub-flight, sub-kinds, then for each: sub, subs
-- ARGV for each: id, bytes that were read ('' when absent), new bytes ('' to delete), when it runs out in ms, in
-- how many ms a NOTIFY is owed or '' for none
-- Answers for each 1 replaced, 0 somebody was faster.
local function place_subscriptions(keys, args)
  local expiry, owed, cseq, flight, kinds = keys[1], keys[2], keys[3], keys[4], keys[5]
  local now, answer = now_ms(), {}
  for i = 1, #args / 5 do
    local a, record, index = 5 * (i - 1), keys[4 + 2 * i], keys[5 + 2 * i]
    local id, new = args[a + 1], args[a + 3]
    local kind = string.match(index, '}:(.*)')
    if (redis.call('GET', record) or '') ~= args[a + 2] then
      answer[i] = 0
    elseif new == '' then
      redis.call('DEL', record)
      redis.call('ZREM', index, id)
      redis.call('ZREM', expiry, id)
      redis.call('ZREM', owed, id)
      redis.call('ZREM', flight, id)
      redis.call('HDEL', cseq, id)
      if redis.call('EXISTS', index) == 0 then
        redis.call('SREM', kinds, kind)
      end
      answer[i] = 1
    else
      redis.call('SET', record, new)
      redis.call('ZADD', index, 0, id)
      redis.call('SADD', kinds, kind)
      redis.call('ZADD', expiry, args[a + 4], id)
      if args[a + 5] ~= '' then
        redis.call('ZADD', owed, now + args[a + 5], id)
      end
      answer[i] = 1
    end
  end
  return answer
end

-- Begin NOTIFYs: each gets its number; one that has another under way gets none.
-- KEYS sub-cseq, sub-flight, sub-owed, sub-expiry, then each sub    ARGV transaction ms, id of each sub
-- Answers for each its record (false: gone) and its CSeq (0: another is under way).
local function begin_notifies(keys, args)
  local cseq, flight, owed = keys[1], keys[2], keys[3]
  local now, answer, any_owed = now_ms(), {}, redis.call('EXISTS', keys[3]) == 1
  local lost_at = string.format('%d', now + args[1])
  for i = 2, #args do
    local id, record = args[i], redis.call('GET', keys[3 + i])
    local until_ms = redis.call('ZSCORE', flight, id)
    local number = 0
    if not record then
      redis.call('ZREM', owed, id)
      redis.call('ZREM', flight, id)
      redis.call('ZREM', keys[4], id)
      redis.call('HDEL', cseq, id)
    elseif not until_ms or tonumber(until_ms) <= now then
      redis.call('ZADD', flight, lost_at, id)
      if any_owed then
        redis.call('ZREM', owed, id)
      end
      number = redis.call('HINCRBY', cseq, id, '1')
    end
    answer[#answer + 1] = record
    answer[#answer + 1] = number
  end
  return answer
end

-- End NOTIFYs that have their final answer; that of an earlier one changes nothing.
-- KEYS sub-cseq, sub-flight, sub-owed    ARGV id, CSeq, id ...
-- Answers for each 1 ended, 0 it was not under way.
local function end_notifies(keys, args)
  local now, answer, any_owed = string.format('%d', now_ms()), {}, redis.call('EXISTS', keys[3]) == 1
  for i = 1, #args, 2 do
    local ended = 0
    if redis.call('HGET', keys[1], args[i]) == args[i + 1] then
      ended = redis.call('ZREM', keys[2], args[i])
      if any_owed then
        redis.call('ZADD', keys[3], 'XX', 'LT', now, args[i])
      end
    end
    answer[#answer + 1] = ended
  end
  return answer
end

-- Give back NOTIFYs that were begun and are not sent, for their next hop takes no more now: each is owed later, and the
-- next one of its dialog gets its number. One that is not under way any more changes nothing.
-- KEYS sub-cseq, sub-flight, sub-owed    ARGV id, CSeq, wait ms, id ...
local function put_off_notifies(keys, args)
  local now = now_ms()
  for i = 1, #args, 3 do
    local id = args[i]
    if redis.call('HGET', keys[1], id) == args[i + 1] and redis.call('ZREM', keys[2], id) == 1 then
      redis.call('HINCRBY', keys[1], id, '-1')
      redis.call('ZADD', keys[3], now + args[i + 2], id)
    end
  end
  return #args / 3
end

-- What has to be told now: NOTIFYs owed where none is under way, subscriptions that have run out, and NOTIFYs
-- whose process died, which are owed anew.
-- KEYS sub-owed, sub-flight, sub-expiry    ARGV most of each
-- Answers {ids owed a NOTIFY, ids that have run out}.
local function due_subscriptions(keys, args)
  local now = now_ms()
  for _, id in ipairs(redis.call('ZRANGE', keys[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, args[1])) do
    redis.call('ZREM', keys[2], id)
    redis.call('ZADD', keys[1], now, id)
  end
  local due = {}
  for _, id in ipairs(redis.call('ZRANGE', keys[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, args[1])) do
    local until_ms = redis.call('ZSCORE', keys[2], id)
    if until_ms then
      redis.call('ZADD', keys[1], until_ms, id)
    else
      due[#due + 1] = id
    end
  end
  return { due, redis.call('ZRANGE', keys[3], '-inf', now, 'BYSCORE', 'LIMIT', 0, args[1]) }
end

-- Find the subscriptions of users in one list.
-- KEYS subs    ARGV target ...
-- Answers for each its ids; nothing at all when nobody has subscribed, which is quickly said.
local function subscriptions_of(keys, args)
  local answer = {}
  if redis.call('EXISTS', keys[1]) == 0 then
    return answer
  end
  for i, target in ipairs(args) do
    answer[i] = redis.call('ZRANGE', keys[1], '[' .. target, '(' .. target .. '~', 'BYLEX')
  end
  return answer
end

redis.register_function('omapush_place_subscriptions', place_subscriptions)
redis.register_function('omapush_begin_notifies', begin_notifies)
redis.register_function('omapush_end_notifies', end_notifies)
redis.register_function('omapush_put_off_notifies', put_off_notifies)
redis.register_function('omapush_due_subscriptions', due_subscriptions)
redis.register_function('omapush_subscriptions_of', subscriptions_of)
