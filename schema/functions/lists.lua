#!lua name=omapush_lists
-- Distribution lists of one initiator. Every key of a call carries its tag.
--
--   lists     zset   names of its lists, all with score 0
--   list      zset   addresses of record of one list's members, all with score 0

-- Create a list.
-- KEYS lists    ARGV name, most lists
-- Answers 1 created, 0 it was there, -1 there are too many.
local function list_create(keys, args)
  if redis.call('ZSCORE', keys[1], args[1]) then
    return 0
  end
  if redis.call('ZCARD', keys[1]) >= tonumber(args[2]) then
    return -1
  end
  return redis.call('ZADD', keys[1], 0, args[1])
end

-- Take members out of a list, then put others in: all of it or nothing. Who is in it already stays once.
-- KEYS lists, list    ARGV name, most members, number to take out, those, those to put in
-- Answers how many went, came, and are there; false when there is no such list, -1 there would be too many.
local function list_change(keys, args)
  if not redis.call('ZSCORE', keys[1], args[1]) then
    return false
  end
  local last_out = 3 + args[3]
  local going, coming = {}, {}
  for i = 4, last_out do
    if redis.call('ZSCORE', keys[2], args[i]) then
      going[args[i]] = true
    end
  end
  for i = last_out + 1, #args do
    if going[args[i]] then
      going[args[i]] = nil
    elseif not redis.call('ZSCORE', keys[2], args[i]) then
      coming[args[i]] = true
    end
  end
  local went, came = 0, 0
  for _ in pairs(going) do
    went = went + 1
  end
  for _ in pairs(coming) do
    came = came + 1
  end
  local number = redis.call('ZCARD', keys[2]) - went + came
  if came > 0 and number > tonumber(args[2]) then
    return -1
  end
  for member in pairs(going) do
    redis.call('ZREM', keys[2], member)
  end
  for member in pairs(coming) do
    redis.call('ZADD', keys[2], 0, member)
  end
  return { went, came, number }
end

-- Delete a list with its members.
-- KEYS lists, list    ARGV name
-- Answers 1, or 0 when there was none.
local function list_delete(keys, args)
  redis.call('UNLINK', keys[2])
  return redis.call('ZREM', keys[1], args[1])
end

redis.register_function('omapush_list_create', list_create)
redis.register_function('omapush_list_change', list_change)
redis.register_function('omapush_list_delete', list_delete)
