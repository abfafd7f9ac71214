#!lua name=omapush_withdrawals
-- Deliveries that are taken back out of the outbox of one user shard: cancelled, or replaced by others. The
-- structures are those of outbox.lua; every key of a call carries the tag of the shard.

-- uses queues.lua

local KEPT_S = 3600 -- longer than a hand-over may be under way
local KEY_LOOK_MS = 7 * 86400000 -- deliver-before may be thousands of years off, and its push over in a second
local WITHDRAWN, AT_A_SENDER, NOT_HERE = 1, 0, -1

-- All functions here take the same KEYS, in this order; `collapse` alone has the last two. KEPT_OUT is `withdrawn`. The
-- first seven are those of `put`.
local DELIVERY, BUSY, READY, WAITING, EXPIRY, LATER, KEPT_OUT = 1, 2, 3, 4, 5, 6, 7
local TAKEN, STOPPED, UNTOLD, ATTEMPTS, REPEATS, HELD, TOLD, BACKLOG, PARKED = 8, 9, 10, 11, 12, 13, 14, 15, 16
local NEWEST, AGING = 17, 18

-- Take one ticket out, wherever it waits, and keep it out; its push is to be told why. One that is not here has its
-- result, or a hand-over of it is still under way: its push knows which when it is told.
local function withdraw(keys, ticket, why, now)
  if redis.call('ZSCORE', keys[TAKEN], ticket) then
    return AT_A_SENDER
  end
  redis.call('ZADD', keys[KEPT_OUT], now, ticket)
  redis.call('HSET', keys[UNTOLD], ticket, why)
  if redis.call('HDEL', keys[DELIVERY], ticket) == 0 then
    return NOT_HERE
  end
  redis.call('ZREM', keys[READY], ticket)
  redis.call('ZREM', keys[EXPIRY], ticket)
  forget({ keys[STOPPED], keys[ATTEMPTS], keys[REPEATS], keys[TOLD] }, 'HDEL', { ticket })
  forget({ keys[WAITING], keys[LATER], keys[HELD] }, 'ZREM', { ticket })
  forget({ keys[BACKLOG], keys[PARKED] }, 'ZREM', { by_push(ticket) })
  free(keys[BUSY], keys[READY], keys[WAITING], ticket)
  return WITHDRAWN
end

local function forget_old(keys, now)
  redis.call('ZREMRANGEBYSCORE', keys[KEPT_OUT], '-inf', now - KEPT_S * 1000)
  redis.call('EXPIRE', keys[KEPT_OUT], KEPT_S)
end

-- Take tickets out of the outbox. One that is at a sender stays; it is not sent again after that when it is to stop.
-- ARGV why, 1 when what is at a sender is to stop, ticket ...
-- Answers for each 1 it is out, 0 it is at a sender, -1 it is not here (any more).
local function cancel(keys, args)
  local now, answer = now_ms(), {}
  for i = 3, #args do
    local found = withdraw(keys, args[i], args[1], now)
    if found == AT_A_SENDER and args[2] == '1' then
      redis.call('HSET', keys[STOPPED], args[i], args[1])
    end
    answer[#answer + 1] = found
  end
  forget_old(keys, now)
  return answer
end

-- Put deliveries here in place of others to the same users. Where the old one is at a sender or not here any more,
-- the new one comes nevertheless when it is for all; the old one is then not sent again.
-- ARGV why, 1 when for all, then old ticket or '', ticket, record, deliver-before ms, deliver-after ms or 0, old ...
-- Answers for each 1 the old one is out, 0 it is at a sender, -1 it is not here; 2 the new one was here before.
local function replace(keys, args)
  local now, answer, for_all = now_ms(), {}, args[2] == '1'
  for i = 3, #args, 5 do
    local old, new = args[i], args[i + 1]
    local found = 2
    if redis.call('HEXISTS', keys[DELIVERY], new) == 0 then
      found = old == '' and NOT_HERE or withdraw(keys, old, args[1], now)
      if found == WITHDRAWN or for_all then
        if found == AT_A_SENDER then
          redis.call('HSET', keys[STOPPED], old, args[1])
        end
        put(keys, args, i + 1, nil, true)
      end
    end
    answer[#answer + 1] = found
  end
  forget_old(keys, now)
  return answer
end

-- Forget the newest of replace keys that are due: at their deliver-before, or sooner once they do not wait any more.
local function forget_keys(keys, now)
  for _, field in ipairs(redis.call('ZRANGE', keys[AGING], '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)) do
    local ticket = string.match(redis.call('HGET', keys[NEWEST], field) or '', '^%d+ (%S+) ')
    local until_ms = ticket and tonumber(redis.call('ZSCORE', keys[EXPIRY], ticket) or 0) or 0
    if until_ms > now then
      redis.call('ZADD', keys[AGING], math.min(until_ms, now + KEY_LOOK_MS), field)
    else
      redis.call('HDEL', keys[NEWEST], field)
      redis.call('ZREM', keys[AGING], field)
    end
  end
end

-- Put deliveries here, each in place of the older one with the same replace key of its user. What comes late and is
-- older than what came with the key is kept out, and its push is to be told why.
-- KEYS those of all, then newest, aging
-- ARGV field, order of acceptance (16 digits), why an older one goes, ticket that stays or '', then ticket, record,
-- deliver-before ms, deliver-after ms or 0, field ...
-- Answers for each the older ticket that is out, or ''.
local function collapse(keys, args)
  local at, answer = now_us(), {}
  local now = math.floor(at / 1000)
  forget_keys(keys, now)
  for i = 1, #args, 8 do
    local field, order, why, stays, ticket = args[i], args[i + 1], args[i + 2], args[i + 3], args[i + 4]
    local order_known, known, why_known = string.match(redis.call('HGET', keys[NEWEST], field) or '', '^(%d+) (%S+) (.*)$')
    local out = ''
    if known and known ~= ticket and order_known > order then
      redis.call('ZADD', keys[KEPT_OUT], now, ticket)
      redis.call('HSET', keys[UNTOLD], ticket, why_known)
    elseif known ~= ticket then
      if known and known ~= stays and redis.call('HEXISTS', keys[DELIVERY], known) == 1 then
        if withdraw(keys, known, why, now) == AT_A_SENDER then
          redis.call('HSET', keys[STOPPED], known, why)
        else
          out = known
        end
      end
      redis.call('HSET', keys[NEWEST], field, order .. ' ' .. ticket .. ' ' .. why)
      redis.call('ZADD', keys[AGING], math.min(tonumber(args[i + 6]), now + KEY_LOOK_MS), field)
      put(keys, args, i + 4, at, true)
    end
    answer[#answer + 1] = out
  end
  forget_old(keys, now)
  return answer
end

-- Take out what was stopped while it was at a sender and has come back to be tried again.
-- ARGV ticket ...    Answers as those of `cancel`.
local function end_stopped(keys, args)
  local now, answer = now_ms(), {}
  for i, ticket in ipairs(args) do
    local why = redis.call('HGET', keys[STOPPED], ticket)
    local found = why and withdraw(keys, ticket, why, now) or NOT_HERE
    if found == NOT_HERE then
      redis.call('HDEL', keys[STOPPED], ticket)
    end
    answer[#answer + 1] = found
  end
  forget_old(keys, now)
  return answer
end

redis.register_function('omapush_cancel', cancel)
redis.register_function('omapush_replace_deliveries', replace)
redis.register_function('omapush_collapse', collapse)
redis.register_function('omapush_end_stopped', end_stopped)
