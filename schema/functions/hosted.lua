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

-- Store a push, unless it came before or too many wait.
-- KEYS push, due, open, stream, seen by request, seen by name (the same key: it has none)
-- ARGV id, now ms, remembered ms, most, record ('' for the stream), open ('' when nobody waits), stream field ...
-- Answers {status, id, verdict, waits}: new, seen (the id of the first, what its sender got, 1 when it still waits)
-- or full.
local function place_hosted(keys, args)
  local id, now = args[1], args[2]
  local verdict = redis.call('GET', keys[5])
  if verdict then
    return {'seen', id, verdict, redis.call('HEXISTS', keys[3], id)}
  end
  if keys[6] ~= keys[5] then
    local first = redis.call('GET', keys[6])
    if first then
      return {'seen', first, '', redis.call('HEXISTS', keys[3], first)}
    end
  end
  local streamed = args[5] == ''
  local waiting = streamed and redis.call('XLEN', keys[4]) or redis.call('ZCARD', keys[2])
  if waiting >= tonumber(args[4]) then
    return {'full', id, '', 0}
  end
  if streamed then
    redis.call('XADD', keys[4], '*', unpack(args, 7))
  else
    redis.call('HSET', keys[1], id, args[5])
    redis.call('ZADD', keys[2], now, id)
    if args[6] ~= '' then
      redis.call('HSET', keys[3], id, args[6])
    end
  end
  redis.call('SET', keys[5], '', 'PX', args[3])
  if keys[6] ~= keys[5] then
    redis.call('SET', keys[6], id, 'PX', args[3])
  end
  return {'new', id, '', args[6] == '' and 0 or 1}
end

-- Stop waiting for the back end: from here on the push is ours to deliver, unless it was refused already.
-- KEYS open, seen by request    ARGV id
-- Answers the verdict that came first, '' when none did.
local function accept_hosted(keys, args)
  redis.call('HDEL', keys[1], args[1])
  return redis.call('GET', keys[2]) or ''
end

-- Borrow pushes that are due; they come back by themselves when the borrower dies. Forget what failed long ago.
-- KEYS push, state, due, failed    ARGV now ms, lease ms, most, failed before, ms
-- Answers record, state ('' for none) ...
local function borrow_hosted(keys, args)
  local old = redis.call('ZRANGE', keys[4], '-inf', args[4], 'BYSCORE', 'LIMIT', 0, 100)
  for _, id in ipairs(old) do
    redis.call('ZREM', keys[4], id)
    redis.call('HDEL', keys[1], id)
    redis.call('HDEL', keys[2], id)
  end
  local answer = {}
  for _, id in ipairs(redis.call('ZRANGE', keys[3], '-inf', args[1], 'BYSCORE', 'LIMIT', 0, args[3])) do
    local record = redis.call('HGET', keys[1], id)
    if record then
      redis.call('ZADD', keys[3], args[1] + args[2], id)
      answer[#answer + 1] = record
      answer[#answer + 1] = redis.call('HGET', keys[2], id) or ''
    else
      redis.call('ZREM', keys[3], id)
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
  local id, now = args[1], tonumber(args[2])
  local open = redis.call('HGET', keys[4], id)
  redis.call('HDEL', keys[4], id)
  if redis.call('ZSCORE', keys[3], id) == false then
    return ''
  end
  local waiter = ''
  if open then
    local deadline, name = string.match(open, '^(%d+) (.*)$')
    if now <= tonumber(deadline) + tonumber(args[7]) then
      waiter = name
    end
  end
  local taken = args[3] == '1'
  if taken or waiter ~= '' then
    redis.call('HDEL', keys[1], id)
    redis.call('HDEL', keys[2], id)
    redis.call('ZREM', keys[3], id)
    if not taken then
      redis.call('SET', keys[6], args[6], 'XX', 'KEEPTTL')
      if keys[7] ~= keys[6] and redis.call('GET', keys[7]) == id then
        redis.call('DEL', keys[7])
      end
    end
  else
    redis.call('HSET', keys[2], id, args[5])
    if args[4] == '0' then
      redis.call('ZREM', keys[3], id)
      redis.call('ZADD', keys[5], now, id)
    else
      redis.call('ZADD', keys[3], args[4], id)
    end
  end
  return waiter
end

-- Tell the back end again what was given up, with all its tries anew.
-- KEYS state, due, failed    ARGV now ms, most
-- Answers how many.
local function retry_hosted(keys, args)
  local failed = redis.call('ZRANGE', keys[3], 0, args[2] - 1)
  for _, id in ipairs(failed) do
    redis.call('ZREM', keys[3], id)
    redis.call('HDEL', keys[1], id)
    redis.call('ZADD', keys[2], args[1], id)
  end
  return #failed
end

redis.register_function('omapush_place_hosted', place_hosted)
redis.register_function('omapush_accept_hosted', accept_hosted)
redis.register_function('omapush_borrow_hosted', borrow_hosted)
redis.register_function('omapush_settle_hosted', settle_hosted)
redis.register_function('omapush_retry_hosted', retry_hosted)
