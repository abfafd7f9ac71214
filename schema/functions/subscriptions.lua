#!lua name=omapush_subscriptions
-- Subscriptions of devices in one user shard. Every key of a call carries the tag of that shard.
--
--   sub      string  DeviceSubscription (MessagePack)
--   sub-due  zset    ids of all subscriptions; score: when there is something to do about each, ms

-- Replace or delete one record that is still what the caller read, and place it in the due-set with it.
-- KEYS record, due    ARGV id, bytes that were read ('' when absent), new bytes ('' to delete), lifetime ms, due ms
-- Answers 1 replaced, 0 somebody was faster.
local function place_subscription(keys, args)
  local id, was, new = args[1], args[2], args[3]
  if (redis.call('GET', keys[1]) or '') ~= was then
    return 0
  end
  if new == '' then
    redis.call('DEL', keys[1])
    redis.call('ZREM', keys[2], id)
  else
    redis.call('SET', keys[1], new, 'PX', args[4])
    redis.call('ZADD', keys[2], args[5], id)
  end
  return 1
end

redis.register_function('omapush_place_subscription', place_subscription)
