#!lua name=omapush_limits
-- What one push initiator may submit, and has submitted. Only those that have a limit are counted.
--
--   limits   hash   tat_us: when its rate allows the next delivery after a burst; day, used: deliveries of that day
--                   (days since 1970, UTC); admitted: deliveries that were let in, and admitted_ms, when the last was;
--                   freed: how many of them have a final result, as far as was looked; minute, now, before: deliveries
--                   of that minute (since 1970) and of the one before it; over:<limit>: submissions refused for it

local DAY_S = 86400
local QUIET_MS = 15000 -- a submission is stored, or has failed, long before

local function number(value)
  return tonumber(value or 0) or 0
end

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function whole(value)
  return string.format('%.0f', value)
end

local function refused(key, limit, wait_ms)
  redis.call('HINCRBY', key, 'over:' .. limit, 1)
  return { limit, wait_ms }
end

local function count_minute(key, known, n, now)
  local minute = math.floor(now / 60000000)
  local last = number(known[1])
  if last == minute then
    redis.call('HINCRBY', key, 'now', n)
  else
    redis.call('HSET', key, 'minute', minute, 'now', n, 'before', last == minute - 1 and number(known[2]) or 0)
  end
end

-- Let deliveries of one submission in, unless a limit is reached; then nothing of it is counted.
-- KEYS limits
-- ARGV deliveries, how many of them count as outstanding, us between two of them or 0, burst, most outstanding or 0,
-- most a day or 0
-- Answers nothing when they are in, else the limit (rate, outstanding, daily) and after how many ms it may be better,
-- 0 for unknown.
local function admit(keys, args)
  local key, n, more, now = keys[1], tonumber(args[1]), tonumber(args[2]), now_us()
  local interval, burst = tonumber(args[3]), tonumber(args[4])
  local outstanding, daily = tonumber(args[5]), tonumber(args[6])
  local known = redis.call('HMGET', key, 'tat_us', 'day', 'used', 'admitted', 'freed', 'minute', 'now')
  local now_s = math.floor(now / 1000000)
  local day = math.floor(now_s / DAY_S)
  local used = number(known[2]) == day and number(known[3]) or 0
  if daily > 0 and used + n > daily then
    return refused(key, 'daily', (DAY_S - now_s % DAY_S) * 1000)
  end
  if outstanding > 0 and number(known[4]) - number(known[5]) + more > outstanding then
    return refused(key, 'outstanding', 0)
  end
  if interval > 0 then
    local tat = math.max(number(known[1]), now)
    local early = tat + (math.min(n, burst) - burst) * interval - now
    if early > 0 then
      return refused(key, 'rate', math.ceil(early / 1000))
    end
    redis.call('HSET', key, 'tat_us', whole(tat + n * interval))
  end
  redis.call('HSET', key, 'day', day, 'used', used + n, 'admitted_ms', whole(now / 1000))
  redis.call('HINCRBY', key, 'admitted', more)
  count_minute(key, { known[6], known[7] }, n, now)
  return {}
end

-- Take back what was let in, of a submission that was not stored. Twice would take back too much: who is not sure
-- leaves it, and `catch_up` finds it.
-- KEYS limits    ARGV deliveries, how many of them count as outstanding, us between two of them
local function give_back(keys, args)
  local known = redis.call('HMGET', keys[1], 'tat_us', 'used', 'admitted')
  redis.call('HSET', keys[1],
    'tat_us', whole(math.max(number(known[1]) - args[1] * args[3], 0)),
    'used', math.max(number(known[2]) - args[1], 0),
    'admitted', math.max(number(known[3]) - args[2], 0))
  return 1
end

-- Note how many deliveries were stored, and how many of those have their final result, in all since ever. What was let
-- in and never stored, because its api died, is forgotten once nothing has been let in for a while.
-- KEYS limits    ARGV stored, final
-- Answers how many are outstanding.
local function catch_up(keys, args)
  local known = redis.call('HMGET', keys[1], 'admitted', 'freed', 'admitted_ms')
  local admitted, freed = number(known[1]), math.max(number(known[2]), tonumber(args[2]))
  local is_quiet = now_us() / 1000 - number(known[3]) > QUIET_MS
  if is_quiet or admitted < tonumber(args[1]) then
    admitted = tonumber(args[1])
    redis.call('HSET', keys[1], 'admitted', whole(admitted))
  end
  if freed ~= number(known[2]) then
    redis.call('HSET', keys[1], 'freed', whole(freed))
  end
  return math.max(admitted - freed, 0)
end

redis.register_function('omapush_admit', admit)
redis.register_function('omapush_give_back', give_back)
redis.register_function('omapush_catch_up', catch_up)
