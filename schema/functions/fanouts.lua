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
  local fanout, fanning, fanned = unpack(keys)
  local ref, record, state = unpack(args)
  if redis.call('ZSCORE', fanned, ref) then
    return 0
  end
  redis.call('HSETNX', fanning, ref, state .. '|0|')
  return redis.call('HSETNX', fanout, ref, record)
end

-- Pause, resume or abort; aborted it stays. A push that is not here yet will find the state when it comes.
-- KEYS fanning, fanned, halted, parked, later    ARGV ref, state
-- Answers the state that it is in, or false when it is done here.
local function steer(keys, args)
  local fanning, fanned, halted, parked, later = unpack(keys)
  local ref, state = unpack(args)
  if redis.call('ZSCORE', fanned, ref) then
    return false
  end
  local was, rest = string.match(redis.call('HGET', fanning, ref) or 'running|0|', '^(%a+)(|.*)$')
  if was == 'aborted' then
    return was
  end
  redis.call('HSET', fanning, ref, state .. rest)
  if state ~= 'running' then
    redis.call('SADD', halted, ref)
    return state
  end
  redis.call('SREM', halted, ref)
  local now = now_ms()
  for _, member in ipairs(of_push(parked, ref)) do
    redis.call('ZREM', parked, member)
    redis.call('ZADD', later, 'XX', now, string.sub(member, #ref + 1))
  end
  return state
end

-- Take, for the caller to end them, the deliveries of a push that are not at a sender. One that the caller
-- forgets is lost like any other and comes back.
-- KEYS backlog, taken, later, parked    ARGV ref, transaction ms
-- Answers tickets.
local function withdraw(keys, args)
  local backlog, taken, later, parked = unpack(keys)
  local ref, transaction_ms = unpack(args)
  local lost_at, answer = now_ms() + transaction_ms, {}
  for _, member in ipairs(of_push(backlog, ref)) do
    local ticket = string.sub(member, #ref + 1)
    if not redis.call('ZSCORE', taken, ticket) then
      redis.call('ZADD', taken, lost_at, ticket)
      redis.call('ZREM', later, ticket)
      redis.call('ZREM', parked, member)
      answer[#answer + 1] = ticket
    end
  end
  return answer
end

-- Forget a push that is done here, unless its progress is another by now.
-- KEYS fanout, fanning, fanned, halted    ARGV ref, progress
-- Answers 1 forgotten, 0 not.
local function drop(keys, args)
  local fanout, fanning, fanned, halted = unpack(keys)
  local ref, progress = unpack(args)
  if redis.call('HGET', fanning, ref) ~= progress then
    return 0
  end
  local now = now_ms()
  redis.call('HDEL', fanout, ref)
  redis.call('HDEL', fanning, ref)
  redis.call('SREM', halted, ref)
  redis.call('ZADD', fanned, now, ref)
  redis.call('ZREMRANGEBYSCORE', fanned, '-inf', now - KEPT_MS)
  return 1
end

redis.register_function('omapush_fan_register', register)
redis.register_function('omapush_fan_steer', steer)
redis.register_function('omapush_fan_withdraw', withdraw)
redis.register_function('omapush_fan_drop', drop)
