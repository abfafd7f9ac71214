#!lua name=omapush_look
-- What there is to do in one user shard, for the sender process that owns it. Every key of a call carries the tag of
-- that shard; what each holds is told in outbox.lua, fanouts.lua, subscriptions.lua, sessions.lua and schema/keys.md.

local READY, LATER, SUBSCRIPTIONS, WATCHES, SESSIONS, FAN_OUTS = 1, 2, 4, 8, 16, 32

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Whether the first of a sorted set is due by then.
local function is_due(set, at_ms)
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) <= at_ms
end

-- Of a shard with many users these are there at all times; the others mostly are not, and that is quickly said.
-- KEYS watch-due, sub-expiry, ready, fanning, later, sub-owed, sub-flight, session-due
-- ARGV now ms, by the clock of those who say when watches and sessions are due; all else is due by Redis' own
-- Answers the sum of what is found: 1 something is ready, 2 something of `later` is due, 4 a NOTIFY without content
-- is owed or lost, or a subscription has run out, 8 a watch is due, 16 a session is due, 32 there is a fan-out.
local function look(keys, args)
  if redis.call('EXISTS', unpack(keys)) == 0 then
    return 0
  end
  local here, now = tonumber(args[1]), now_ms()
  local found = is_due(keys[1], here) and WATCHES or 0
  local subscriptions = is_due(keys[2], now)
  if redis.call('EXISTS', unpack(keys, 3)) > 0 then
    found = found + redis.call('EXISTS', keys[3]) * READY + redis.call('EXISTS', keys[4]) * FAN_OUTS
    found = found + (is_due(keys[5], now) and LATER or 0) + (is_due(keys[8], here) and SESSIONS or 0)
    subscriptions = subscriptions or is_due(keys[6], now) or is_due(keys[7], now)
  end
  return found + (subscriptions and SUBSCRIPTIONS or 0)
end

redis.register_function{ function_name = 'omapush_look', callback = look, flags = { 'no-writes' } }
