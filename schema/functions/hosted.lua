#!lua name=omapush_hosted
-- Pushes for applications hosted behind this server, of one user shard. Every key of a call carries its tag.
-- For each application, in keys hosted-PART:
--
--   push      hash    id -> HostedPush, until the back end took it, or for some time after it was given up
--   state     hash    id -> HostedState: tries so far; absent: none
--   due       zset    ids the back end is to be told; score: when, or until when a worker has it, ms
--   open      hash    id -> "<deadline ms> <waiter>": its sender is not answered yet, and waits for the back end
--   failed    zset    ids that were given up; score: when, ms
--   stream    stream  pushes left for a back end that reads them itself
--
-- and hosted-seen, one string for each push that came: '' or the verdict its sender got; by the sender's own name
-- for a push: the id.

-- Store a push, unless it came before or too many wait. What tells that it came is written again, as it is: WAIT looks
-- at the last write of its own connection alone, and the push may have come by another one.
-- KEYS push, due, open, stream, seen by request, seen by name (the same key: it has none)
-- ARGV id, now ms, remembered ms, most, record ('' for the stream), open ('' when nobody waits), stream field ...
-- Answers {status, id, verdict, waits}: new, seen (the id of the first, what its sender got, 1 when it still waits)
-- or full.
local function place_hosted(keys, args)
  local push, due, open, stream, seen_request, seen_name = unpack(keys)
  local id, now, remembered_ms, most, record, opening = unpack(args)
  local verdict = redis.call('GET', seen_request)
  if verdict then
    redis.call('SET', seen_request, verdict, 'KEEPTTL')
    return {'seen', id, verdict, redis.call('HEXISTS', open, id)}
  end
  if seen_name ~= seen_request then
    local first = redis.call('GET', seen_name)
    if first then
      redis.call('SET', seen_name, first, 'KEEPTTL')
      return {'seen', first, '', redis.call('HEXISTS', open, first)}
    end
  end
  local streamed = record == ''
  local waiting = streamed and redis.call('XLEN', stream) or redis.call('ZCARD', due)
  if waiting >= tonumber(most) then
    return {'full', id, '', 0}
  end
  if streamed then
    redis.call('XADD', stream, '*', unpack(args, 7))
  else
    redis.call('HSET', push, id, record)
    redis.call('ZADD', due, now, id)
    if opening ~= '' then
      redis.call('HSET', open, id, opening)
    end
  end
  redis.call('SET', seen_request, '', 'PX', remembered_ms)
  if seen_name ~= seen_request then
    redis.call('SET', seen_name, id, 'PX', remembered_ms)
  end
  return {'new', id, '', opening == '' and 0 or 1}
end

-- Stop waiting for the back end: from here on the push is ours to deliver, unless it was refused already.
-- KEYS open, seen by request    ARGV id
-- Answers the verdict that came first, '' when none did.
local function accept_hosted(keys, args)
  local open, seen_request = unpack(keys)
  redis.call('HDEL', open, args[1])
  return redis.call('GET', seen_request) or ''
end

-- Borrow pushes that are due; they come back by themselves when the borrower dies. Forget what failed long ago.
-- KEYS push, state, due, failed    ARGV now ms, lease ms, most, failed before, ms
-- Answers record, state ('' for none) ...
local function borrow_hosted(keys, args)
  local push, state, due, failed = unpack(keys)
  local now, lease_ms, most, failed_before = unpack(args)
  local old = redis.call('ZRANGE', failed, '-inf', failed_before, 'BYSCORE', 'LIMIT', 0, 100)
  for _, id in ipairs(old) do
    redis.call('ZREM', failed, id)
    redis.call('HDEL', push, id)
    redis.call('HDEL', state, id)
  end
  local answer = {}
  for _, id in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, most)) do
    local record = redis.call('HGET', push, id)
    if record then
      redis.call('ZADD', due, now + lease_ms, id)
      answer[#answer + 1] = record
      answer[#answer + 1] = redis.call('HGET', state, id) or ''
    else
      redis.call('ZREM', due, id)
    end
  end
  return answer
end

-- Close one exchange. Who still waits is told what it came to, and the push is then over in any case: its sender
-- knows. Else it is over when it was taken, told again at its time, or given up.
-- KEYS push, state, due, open, failed, seen by request, seen by name (the same key: it has none)
-- ARGV id, now ms, 1 when taken, next try in ms or 0 for none, state, verdict, grace ms
-- Answers the waiter that is to be told, '' when there is none.
local function settle_hosted(keys, args)
  local push, state, due, opened, failed, seen_request, seen_name = unpack(keys)
  local id, now, took_it, next_ms, new_state, verdict, grace_ms = unpack(args)
  local open = redis.call('HGET', opened, id)
  redis.call('HDEL', opened, id)
  if redis.call('ZSCORE', due, id) == false then
    return ''
  end
  local waiter = ''
  if open then
    local deadline, name = string.match(open, '^(%d+) (.*)$')
    if tonumber(now) <= tonumber(deadline) + tonumber(grace_ms) then
      waiter = name
    end
  end
  local taken = took_it == '1'
  if taken or waiter ~= '' then
    redis.call('HDEL', push, id)
    redis.call('HDEL', state, id)
    redis.call('ZREM', due, id)
    if not taken then
      redis.call('SET', seen_request, verdict, 'XX', 'KEEPTTL')
      if seen_name ~= seen_request and redis.call('GET', seen_name) == id then
        redis.call('DEL', seen_name)
      end
    end
  else
    redis.call('HSET', state, id, new_state)
    if next_ms == '0' then
      redis.call('ZREM', due, id)
      redis.call('ZADD', failed, now, id)
    else
      redis.call('ZADD', due, next_ms, id)
    end
  end
  return waiter
end

-- Tell the back end again what was given up, with all its tries anew.
-- KEYS state, due, failed    ARGV now ms, most
-- Answers how many.
local function retry_hosted(keys, args)
  local state, due, failed = unpack(keys)
  local now, most = unpack(args)
  local ids = redis.call('ZRANGE', failed, 0, most - 1)
  for _, id in ipairs(ids) do
    redis.call('ZREM', failed, id)
    redis.call('HDEL', state, id)
    redis.call('ZADD', due, now, id)
  end
  return #ids
end

redis.register_function('omapush_place_hosted', place_hosted)
redis.register_function('omapush_accept_hosted', accept_hosted)
redis.register_function('omapush_borrow_hosted', borrow_hosted)
redis.register_function('omapush_settle_hosted', settle_hosted)
redis.register_function('omapush_retry_hosted', retry_hosted)
