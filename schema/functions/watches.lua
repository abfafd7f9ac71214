#!lua name=omapush_watches
-- Subscriptions of our own to what happens to the users of one user shard. Every key of a call carries its tag.

-- Replace watches that are still what the caller read, each together with when it is due.
-- KEYS due, watch ...
-- ARGV for each watch: member of due, bytes that were read ('' when absent), new bytes, lifetime ms, due in ms or
-- 0 for: not due any more
-- Answers for each watch 1 replaced, 0 somebody was faster.
local function replace_watches(keys, args)
  local answer = {}
  for i = 2, #keys do
    local at = 5 * (i - 2)
    local member, was, new, lifetime, due = args[at + 1], args[at + 2], args[at + 3], args[at + 4], args[at + 5]
    if (redis.call('GET', keys[i]) or '') == was then
      redis.call('SET', keys[i], new, 'PX', lifetime)
      if due == '0' then
        redis.call('ZREM', keys[1], member)
      else
        redis.call('ZADD', keys[1], due, member)
      end
      answer[i - 1] = 1
    else
      answer[i - 1] = 0
    end
  end
  return answer
end

redis.register_function('omapush_replace_watches', replace_watches)
