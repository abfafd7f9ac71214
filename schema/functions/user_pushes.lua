#!lua name=omapush_user_pushes
-- Which pushes were for a user lately, for people who look for them; no push depends on it. Every key of a call carries
-- the tag of one user shard.
--
--   user-pushes zset   refs of the newest pushes to one user; score: accepted, ms

local MOST = 100 -- the same as in omapush/store/user_pushes.py

-- Enter pushes for their users, as long as any of them may be known.
-- KEYS user-pushes, one for each    ARGV for each: ref, accepted ms, until when it is known at most ms
-- Answers how many.
local function enter(keys, args)
  for i, key in ipairs(keys) do
    local ref, accepted_ms, until_ms = args[3 * i - 2], args[3 * i - 1], args[3 * i]
    if redis.call('ZADD', key, accepted_ms, ref) == 1 then
      local number = redis.call('ZCARD', key)
      if number > MOST then
        redis.call('ZREMRANGEBYRANK', key, 0, number - MOST - 1)
      end
      if redis.call('PEXPIRETIME', key) < tonumber(until_ms) then
        redis.call('PEXPIREAT', key, until_ms)
      end
    end
  end
  return #keys
end

redis.register_function('omapush_enter_pushes', enter)
