#!lua name=omapush_registrations
-- Registration records of one user shard. Every key of a call carries the tag of that shard.

-- uses queues.lua

-- Replace one record that is still what the caller read. Answers 1 replaced, 0 somebody was faster.
local function replace_one(key, was, new, lifetime)
  if (redis.call('GET', key) or '') ~= was then
    return 0
  end
  redis.call('SET', key, new, 'PX', lifetime)
  return 1
end

-- Replace records that are still what the caller merged from (read, merge, replace; again on conflict).
-- KEYS record ...    ARGV for each key: bytes that were read ('' when absent), new bytes, lifetime ms
-- Answers for each key 1 replaced, 0 somebody was faster.
local function replace(keys, args)
  local answer = {}
  for i, key in ipairs(keys) do
    answer[i] = replace_one(key, args[3 * i - 2], args[3 * i - 1], args[3 * i])
  end
  return answer
end

-- Do the same with registrations, and queue what is held in the outbox for users who are back or have other devices.
-- KEYS held, later, busy, ready, waiting, attempts, late, record ...
-- ARGV for each record: bytes that were read ('' when absent), new bytes, lifetime ms, target, and what is queued:
-- all, tried (what has been tried before and found the device away) or none
-- Answers for each record 1 replaced, 0 somebody was faster.
local function register(keys, args)
  local answer = {}
  local at = redis.call('EXISTS', keys[1]) == 1 and now_us()
  for i = 1, #keys - 7 do
    local was, new, lifetime, target, woken = unpack(args, 5 * i - 4, 5 * i)
    answer[i] = replace_one(keys[i + 7], was, new, lifetime)
    if answer[i] == 1 and at and woken ~= 'none' then
      wake_target(keys, target, woken == 'tried', at)
    end
  end
  return answer
end

redis.register_function('omapush_replace', replace)
redis.register_function('omapush_register', register)
