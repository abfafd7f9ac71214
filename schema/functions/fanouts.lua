#!lua name=omapush_fanouts
-- Pushes to all subscribers of an application, as one user shard carries them out. Every key of a call carries
-- the tag of that shard. Putting one page of subscribers into the outbox is `expand` of outbox.lua.
--
--   fanout   hash   push ref -> FanOut (MessagePack)
--   fanning  hash   push ref -> progress: state, number of deliveries made, id of the last subscription looked
--                   at ("~": all were), with "|" between them
--   fanned   zset   refs of those that are done here; score: when, ms

local KEPT_MS = 3600000 -- longer than a hand-over may be under way

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function of_push(zset, ref)
  return redis.call('ZRANGE', zset, '[' .. ref, '(' .. ref .. '~', 'BYLEX')
end

-- Make the shard carry out a push, unless it did or does so already.
-- KEYS fanout, fanning, fanned    ARGV ref, record, state
-- Answers 1 new, 0 known.
local function register(keys, args)
  if redis.call('ZSCORE', keys[3], args[1]) then
    return 0
  end
  redis.call('HSETNX', keys[2], args[1], args[3] .. '|0|')
  return redis.call('HSETNX', keys[1], args[1], args[2])
end

-- Pause, resume or abort; aborted it stays. A push that is not here yet will find the state when it comes.
-- KEYS fanning, fanned, halted, parked, later    ARGV ref, state
-- Answers the state that it is in, or false when it is done here.
local function steer(keys, args)
  local ref, state = args[1], args[2]
  if redis.call('ZSCORE', keys[2], ref) then
    return false
  end
  local was, rest = string.match(redis.call('HGET', keys[1], ref) or 'running|0|', '^(%a+)(|.*)$')
  if was == 'aborted' then
    return was
  end
  redis.call('HSET', keys[1], ref, state .. rest)
  if state ~= 'running' then
    redis.call('SADD', keys[3], ref)
    return state
  end
  redis.call('SREM', keys[3], ref)
  local now = now_ms()
  for _, member in ipairs(of_push(keys[4], ref)) do
    redis.call('ZREM', keys[4], member)
    redis.call('ZADD', keys[5], 'XX', now, string.sub(member, #ref + 1))
  end
  return state
end

-- Take, for the caller to end them, the deliveries of a push that are not at a sender. One that the caller
-- forgets is lost like any other and comes back.
-- KEYS backlog, taken, later, parked    ARGV ref, transaction ms
-- Answers tickets.
local function withdraw(keys, args)
  local lost_at, answer = now_ms() + args[2], {}
  for _, member in ipairs(of_push(keys[1], args[1])) do
    local ticket = string.sub(member, #args[1] + 1)
    if not redis.call('ZSCORE', keys[2], ticket) then
      redis.call('ZADD', keys[2], lost_at, ticket)
      redis.call('ZREM', keys[3], ticket)
      redis.call('ZREM', keys[4], member)
      answer[#answer + 1] = ticket
    end
  end
  return answer
end

-- Forget a push that is done here, unless its progress is another by now.
-- KEYS fanout, fanning, fanned, halted    ARGV ref, progress
-- Answers 1 forgotten, 0 not.
local function drop(keys, args)
  if redis.call('HGET', keys[2], args[1]) ~= args[2] then
    return 0
  end
  local now = now_ms()
  redis.call('HDEL', keys[1], args[1])
  redis.call('HDEL', keys[2], args[1])
  redis.call('SREM', keys[4], args[1])
  redis.call('ZADD', keys[3], now, args[1])
  redis.call('ZREMRANGEBYSCORE', keys[3], '-inf', now - KEPT_MS)
  return 1
end

redis.register_function('omapush_fan_register', register)
redis.register_function('omapush_fan_steer', steer)
redis.register_function('omapush_fan_withdraw', withdraw)
redis.register_function('omapush_fan_drop', drop)
