#!lua name=omapush_profiles
-- The queue of UAProf documents to be fetched: one key, in a slot of its own.
--
--   uaprof-due  zset  URLs; score: when to fetch, or until when a worker that fetches one has it, ms

-- Queue URLs that are not queued yet, as long as there is room.
-- KEYS queue    ARGV most, now ms, url ...
-- Answers how many were queued.
local function want_profiles(keys, args)
  local room = tonumber(args[1]) - redis.call('ZCARD', keys[1])
  local queued = 0
  for i = 3, #args do
    if queued >= room then
      break
    end
    queued = queued + redis.call('ZADD', keys[1], 'NX', args[2], args[i])
  end
  return queued
end

-- Borrow URLs that are due: nobody else gets them until the lease ends.
-- KEYS queue    ARGV now ms, lease ms, most
-- Answers the URLs.
local function borrow_profiles(keys, args)
  local due = redis.call('ZRANGE', keys[1], '-inf', args[1], 'BYSCORE', 'LIMIT', 0, args[3])
  for _, url in ipairs(due) do
    redis.call('ZADD', keys[1], args[1] + args[2], url)
  end
  return due
end

redis.register_function('omapush_want_profiles', want_profiles)
redis.register_function('omapush_borrow_profiles', borrow_profiles)
