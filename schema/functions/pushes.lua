#!lua name=omapush_pushes
-- Pushes of one push shard. Every key of a call carries the tag of that shard.
--
--   push      hash   one push: record, body (until all recipients are final), open (recipients not final),
--                    notify (when results were asked for), keep (for how long it is known once they were told,
--                    s), count, print, logs (for how long its log is kept, s)
--                    a<i> recipient, r<i> result, f<i> final mark
--                    e<n> and lines (lines.lua), when it has one recipient and no logs
--                    quota (initiator, when its deliveries are counted for a limit)
--                    of one with many recipients, too: n:<state> how many are in each state
--                    pieces (when its content is in `content`), secret and links (until when there are links to it)
--                    of a push to subscribers instead: shards (not told yet), t<n> deliveries of user shard n,
--                    total of those, done, n:<state> of those, state (running, paused, aborted), logged
--   own       zset   refs of one initiator; score: accepted, ms
--   staged    hash   a<i>, r<i>, f<i> of a push with many recipients before it is accepted, page by page
--   counted   string of a push to subscribers: a bit for each delivery whose result is counted
--   content   hash   its content in pieces, when it is large: number to piece; or `body`, when it is
--                    small and there are links to it
--   upload    hash   the same before the push is accepted
--   log       list   its event log, MessagePack, as far as that is not with the push
--   handover  zset   push refs whose deliveries may not be in the outbox yet; score: accepted, ms
--   quota     hash   stored:<initiator>, final:<initiator>: deliveries of an initiator with limits, since ever
--   totals    hash   accepted, <state>: deliveries of all pushes that were accepted, and that ended so, since ever
--   records   stream results whose event data records are to be written; only there while some notifier writes them
--   notify    zset   "<ref>.<i>" results still owed to the initiator; score: next try, ms

-- uses endings.lua

local UNPACKED = 4000 -- Lua's stack holds about 8,000 values

-- Results of recipients that are final from the start are recorded at once; and owed, unless `indexes` begins with '-'.
local function owe(notify, records, ref, now_ms, indexes)
  local due, is_owed = {}, string.sub(indexes, 1, 1) ~= '-'
  for index in string.gmatch(indexes, '%d+') do
    record_result(records, ref .. '.' .. index, '', '')
    if is_owed then
      due[#due + 1] = now_ms
      due[#due + 1] = ref .. '.' .. index
    end
  end
  for first = 1, #due, UNPACKED do
    redis.call('ZADD', notify, unpack(due, first, math.min(first + UNPACKED - 1, #due)))
  end
end

-- Make uploaded content that of a push. Answers false when it has run out.
local function keep_upload(upload, content)
  if redis.call('EXISTS', upload) == 0 then
    return false
  end
  redis.call('RENAME', upload, content)
  redis.call('PERSIST', content)
  return true
end

-- Begin the event log of a push, unless the first line is with it.
local function begin_log(log, event)
  if event ~= '' then
    redis.call('RPUSH', log, event)
  end
end

-- A push whose recipients are all final from the start has ended.
local function end_at_once(push, log, content, now_ms, retention_s, owed)
  if retention_s ~= '0' then
    local remembered_s = erase(push, content, content and '1', '0', tonumber(now_ms), retention_s)
    remembered_s = kept_until_told(push, remembered_s, string.find(owed, '^%d'))
    redis.call('EXPIRE', push, remembered_s)
    redis.call('EXPIRE', log, remembered_s)
  end
end

-- A push-id is taken while its push is known, and for some time after it was accepted. A push that is known is written
-- again, as it is: WAIT looks at the last write of its own connection alone, and is to wait for the push as well when
-- this is a repeat by another one.
local function is_taken(push, own, ref, now_ms, kept_ms)
  if redis.call('EXISTS', push) == 1 then
    local count = redis.call('HGET', push, 'count')
    if count then
      redis.call('HSET', push, 'count', count)
    end
    return true
  end
  local accepted_ms = kept_ms ~= '0' and redis.call('ZSCORE', own, ref)
  return accepted_ms and accepted_ms + kept_ms > tonumber(now_ms)
end

-- Count the recipients of a push that was accepted, and those of them that are final from the start: "<number>", and
-- then "<state> <number> ...", which most have not.
local function count_accepted(totals, recipients)
  local accepted = recipients -- as text: a number that goes to Redis is dear
  if not tonumber(recipients) then
    accepted = string.match(recipients, '%d+')
    for state, number in string.gmatch(recipients, '(%a+) (%d+)') do
      redis.call('HINCRBY', totals, state, number)
    end
  end
  if accepted ~= '0' then
    redis.call('HINCRBY', totals, 'accepted', accepted)
  end
end

-- Store a push, unless its ref is taken. Recipients that are final from the start are owed their result at once.
-- KEYS push, log, handover, notify, own, totals, records, and upload, content for content that was uploaded
-- ARGV ref, now ms, first event or '', owed "<i>,<i>...", or with '-' in front only recorded, for how long push-ids stay
-- taken ms, retention s when no recipient is open or 0, how many recipients and which are final, field, value ...
-- Answers 1 stored, 0 the push-id was used before, -1 what was uploaded has run out.
local function accept(keys, args)
  if is_taken(keys[1], keys[5], args[1], args[2], args[5]) then
    return 0
  end
  if keys[8] and not keep_upload(keys[8], keys[9]) then
    return -1
  end
  for first = 8, #args, UNPACKED do
    redis.call('HSET', keys[1], unpack(args, first, math.min(first + UNPACKED - 1, #args)))
  end
  begin_log(keys[2], args[3])
  redis.call('ZADD', keys[3], args[2], args[1])
  redis.call('ZADD', keys[5], args[2], args[1])
  owe(keys[4], keys[7], args[1], args[2], args[4])
  count_accepted(keys[6], args[7])
  end_at_once(keys[1], keys[2], keys[9], args[2], args[6], args[4])
  return 1
end

-- The same for a push whose many recipients were staged before, page by page: it is there as a whole, or not at all.
-- KEYS push, log, handover, notify, own, totals, records, staged, and upload, content for content that was uploaded
-- ARGV ref, now ms, first event or '', owed "<i>,<i>...", or with '-' in front only recorded, for how long push-ids stay
-- taken ms, retention s when no recipient is open or 0, how many recipients and which are final, number of fields
-- staged, field, value ...
-- Answers 1 stored, 0 the push-id was used before, -1 what was staged or uploaded has run out.
local function accept_staged(keys, args)
  if is_taken(keys[1], keys[5], args[1], args[2], args[5]) then
    redis.call('UNLINK', keys[8])
    return 0
  end
  if redis.call('HLEN', keys[8]) ~= tonumber(args[8]) or keys[9] and not keep_upload(keys[9], keys[10]) then
    return -1
  end
  redis.call('PERSIST', keys[8])
  redis.call('RENAME', keys[8], keys[1])
  redis.call('HSET', keys[1], unpack(args, 9))
  begin_log(keys[2], args[3])
  redis.call('ZADD', keys[3], args[2], args[1])
  redis.call('ZADD', keys[5], args[2], args[1])
  owe(keys[4], keys[7], args[1], args[2], args[4])
  count_accepted(keys[6], args[7])
  end_at_once(keys[1], keys[2], keys[10], args[2], args[6], args[4])
  return 1
end

-- Have the deliveries of a push counted for its initiator, which has a limit: those without a result as stored, and
-- each as final once its result is.
-- KEYS push, quota    ARGV initiator
-- Answers how many, 0 when they are counted already.
local function mark(keys, args)
  local open = tonumber(redis.call('HGET', keys[1], 'open') or 0)
  if open == 0 or redis.call('HSETNX', keys[1], 'quota', args[1]) == 0 then
    return 0
  end
  redis.call('HINCRBY', keys[2], 'stored:' .. args[1], open)
  return open
end

-- Note how many deliveries one user shard made of a push to subscribers: there will be no more.
-- Only now they count as accepted.
-- KEYS push, log, counted, content, totals    ARGV shard, deliveries, retention s
-- Answers 1, or 0 when that was known or the push is gone.
local function told_all(keys, args)
  if redis.call('HEXISTS', keys[1], 'shards') == 0
    or redis.call('HSETNX', keys[1], 't' .. args[1], args[2]) == 0 then
    return 0
  end
  redis.call('HINCRBY', keys[1], 'shards', -1)
  redis.call('HINCRBY', keys[1], 'total', args[2])
  redis.call('HINCRBY', keys[5], 'accepted', args[2])
  local now = redis.call('TIME')
  end_fan_out(keys[1], keys[2], keys[3], keys[4], now[1] * 1000 + math.floor(now[2] / 1000), args[3])
  return 1
end

-- Note that a push to subscribers is paused, resumed or aborted; aborted or finished it stays.
-- KEYS push, log    ARGV state, event
-- Answers the state that it is in; finished when it is; false when it is no push to subscribers.
local function steer(keys, args)
  local known = redis.call('HMGET', keys[1], 'state', 'shards', 'total', 'done')
  if not known[2] then
    return false
  end
  if known[2] == '0' and known[3] == known[4] then
    return 'finished'
  end
  if known[1] ~= 'aborted' and known[1] ~= args[1] then
    redis.call('HSET', keys[1], 'state', args[1])
    redis.call('RPUSH', keys[2], args[2])
    return args[1]
  end
  return known[1]
end

-- Keep the content of a push for links to it. Content that was with the push gets a place where links find it.
-- KEYS push, content    ARGV a secret for the first link, until when ms
-- Answers the secret of the push's links; false when the push or its content is not there any more.
local function link(keys, args)
  local known = redis.call('HMGET', keys[1], 'record', 'body', 'pieces', 'secret', 'links', 'lines', 'f0')
  local is_emptied = known[2] == '' and known[6] and known[7] -- by the result of the one recipient
  if not known[1] or not known[3] and (not known[2] or is_emptied) then
    return false
  end
  if not known[3] then
    redis.call('HSET', keys[2], 'body', known[2])
    redis.call('HSET', keys[1], 'pieces', 1)
  end
  local until_ms = math.max(tonumber(known[5] or 0), tonumber(args[2]))
  local secret = known[4] or args[1]
  redis.call('HSET', keys[1], 'secret', secret, 'links', string.format('%d', until_ms))
  return secret
end

redis.register_function('omapush_accept', accept)
redis.register_function('omapush_accept_staged', accept_staged)
redis.register_function('omapush_mark', mark)
redis.register_function('omapush_told_all', told_all)
redis.register_function('omapush_steer', steer)
redis.register_function('omapush_link', link)
