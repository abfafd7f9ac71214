#!lua name=omapush_turns
-- Turns of pushes of one application to one user. The key carries the tag of the user's shard.
--
--   turns    hash   tat: when the next turn would be were there no burst, ms; ticket -> when it may leave, ms

local KEPT_MS = 600000 -- who has had a turn asks no more after so long
local MANY = 64

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function forget(key, now)
  if redis.call('HLEN', key) <= MANY then
    return
  end
  local known = redis.call('HGETALL', key)
  for i = 1, #known, 2 do
    if known[i] ~= 'tat' and tonumber(known[i + 1]) < now - KEPT_MS then
      redis.call('HDEL', key, known[i])
    end
  end
end

-- Give a delivery its turn, in the order in which they ask; a second question gives the same one.
-- KEYS turns    ARGV ticket, ms between two turns, how many may leave at once
-- Answers how many ms it has to wait, 0: it may leave.
local function turn(keys, args)
  local key, ticket, interval, burst = keys[1], args[1], tonumber(args[2]), tonumber(args[3])
  local now = now_ms()
  local known = redis.call('HMGET', key, ticket, 'tat')
  local at = tonumber(known[1] or nil)
  if not at then
    local tat = math.max(tonumber(known[2] or 0) or 0, now)
    at = math.max(tat - (burst - 1) * interval, now)
    redis.call('HSET', key, ticket, string.format('%.0f', at), 'tat', string.format('%.0f', tat + interval))
    redis.call('PEXPIRE', key, string.format('%.0f', tat + interval - now + KEPT_MS))
    forget(key, now)
  end
  return math.max(math.ceil(at - now), 0)
end

redis.register_function('omapush_turn', turn)
