#!lua name=omapush_alarms
-- Alarms of all nodes: one slot, written by one process at a time, the keeper.
--
--   alarm-keeper   string  the notifier that keeps the alarms; runs out unless it renews that
--   alarm-standing hash    name and subject, with a bar between them -> record of each alarm that stands
--   alarm-history  zset    records of changes; score: when, ms
--   alarm-nodes    hash    node -> record of what its notifier sees of it

-- Become or stay the keeper.
-- KEYS alarm-keeper    ARGV who, lease ms
-- Answers 1 it is, 0 somebody else is.
local function keep_alarms(keys, args)
  local keeper = redis.call('GET', keys[1])
  if keeper and keeper ~= args[1] then
    return 0
  end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return 1
end

-- Store what stands now and what has changed, as the keeper only.
-- KEYS alarm-keeper, alarm-standing, alarm-history
-- ARGV who, changes that are kept, number of changes, then for each change: when, record; then for each alarm: name,
-- record or '' to take it out
-- Answers 1 done, 0 somebody else is the keeper.
local function change_alarms(keys, args)
  if redis.call('GET', keys[1]) ~= args[1] then
    return 0
  end
  local first = 4 + 2 * args[3]
  for i = 4, first - 1, 2 do
    redis.call('ZADD', keys[3], args[i], args[i + 1])
  end
  redis.call('ZREMRANGEBYRANK', keys[3], 0, -1 - args[2])
  for i = first, #args, 2 do
    if args[i + 1] == '' then
      redis.call('HDEL', keys[2], args[i])
    else
      redis.call('HSET', keys[2], args[i], args[i + 1])
    end
  end
  return 1
end

-- Forget a node that ends by itself; the keeper that ends leaves its place to another at once.
-- KEYS alarm-keeper, alarm-nodes    ARGV who, node
local function leave_alarms(keys, args)
  redis.call('HDEL', keys[2], args[2])
  if redis.call('GET', keys[1]) == args[1] then
    redis.call('DEL', keys[1])
  end
  return 1
end

redis.register_function('omapush_leave_alarms', leave_alarms)
redis.register_function('omapush_keep_alarms', keep_alarms)
redis.register_function('omapush_change_alarms', change_alarms)
