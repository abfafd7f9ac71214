#!lua name=omapush_registrations
-- Registration records of one user shard. Every key of a call carries the tag of that shard.

-- uses queues.lua

-- Replace records that are still what the caller merged from (read, merge, replace; again on conflict).
-- KEYS record ...    ARGV for each key: bytes that were read ('' when absent), new bytes, lifetime ms
-- Answers for each key 1 replaced, 0 somebody was faster.
local function replace(keys, args)
  local answer = {}
  for i, key in ipairs(keys) do
    local was, new, lifetime = args[3 * i - 2], args[3 * i - 1], args[3 * i]
    if (redis.call('GET', key) or '') == was then
      redis.call('SET', key, new, 'PX', lifetime)
      answer[i] = 1
    else
      answer[i] = 0
    end
  end
  return answer
end

-- Do the same with registrations, and queue what is held in the outbox for users who are back or have other devices.
-- KEYS held, later, busy, ready, waiting, attempts, record ...
-- ARGV for each record: bytes that were read ('' when absent), new bytes, lifetime ms, target, and what is queued:
-- all, tried (what has been tried before and found the device away) or none
-- Answers for each record 1 replaced, 0 somebody was faster.
local function register(keys, args)
  local answer = {}
  local at = redis.call('EXISTS', keys[1]) == 1 and now_us()
  for i = 1, #keys - 6 do
    local key, was, new, lifetime, target, woken = keys[i + 6], unpack(args, 5 * i - 4, 5 * i)
    if (redis.call('GET', key) or '') == was then
      redis.call('SET', key, new, 'PX', lifetime)
      answer[i] = 1
      if at and woken ~= 'none' then
        wake_target(keys, target, woken == 'tried', at)
      end
    else
      answer[i] = 0
    end
  end
  return answer
end

redis.register_function('omapush_replace', replace)
redis.register_function('omapush_register', register)
