#!lua name=omapush_sessions
-- Sessions that carry large pushes to the users of one user shard. Every key of a call carries its tag.
--
--   session-of    hash    ticket -> id of the session that carries it, or did last
--   session-live  hash    target and application -> id of the session that carries something
--   session-due   zset    ids of all sessions; score: when the shard's owner looks at it next, ms

-- Replace or delete a session that is still what the caller read, with its places in the other structures.
-- KEYS session, session-of, session-live, session-due, expiry
-- ARGV id, bytes that were read ('' when absent), new bytes or '' to delete, due ms, target and application,
-- 1 when it carries something; then ticket, 1 when this session carries it from now on, new deliver-before ms or 0 for: as
-- it is; ticket ... A deliver-before is moved only while the ticket is in the outbox.
-- Answers 0 somebody was faster, -1 another session for the same is live, else 1 followed by the tickets of which
-- deliver-before was to be moved and that had left the outbox.
local function place_session(keys, args)
  local id, was, new, due, place = args[1], args[2], args[3], args[4], args[5]
  if (redis.call('GET', keys[1]) or '') ~= was then
    return { 0 }
  end
  local live = redis.call('HGET', keys[3], place)
  if args[6] == '1' and live and live ~= id then
    return { -1 }
  end
  if args[6] == '1' then
    redis.call('HSET', keys[3], place, id)
  elseif live == id then
    redis.call('HDEL', keys[3], place)
  end
  if new == '' then
    redis.call('DEL', keys[1])
    redis.call('ZREM', keys[4], id)
  else
    redis.call('SET', keys[1], new)
    redis.call('ZADD', keys[4], due, id)
  end
  local answer = { 1 }
  for i = 7, #args, 3 do
    local ticket, before = args[i], args[i + 2]
    if args[i + 1] == '1' then
      redis.call('HSET', keys[2], ticket, id)
    elseif new == '' and redis.call('HGET', keys[2], ticket) == id then
      redis.call('HDEL', keys[2], ticket)
    end
    if before ~= '0' and redis.call('ZSCORE', keys[5], ticket) then
      redis.call('ZADD', keys[5], before, ticket)
    elseif before ~= '0' then
      answer[#answer + 1] = ticket
    end
  end
  return answer
end

redis.register_function('omapush_place_session', place_session)
