#!lua name=omapush_registrations
-- Registration records of one user shard. Every key of a call carries the tag of that shard.

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

redis.register_function('omapush_replace', replace)
