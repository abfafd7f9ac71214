#!lua name=omapush_pushes
-- Pushes of one push shard. Every key of a call carries the tag of that shard.
--
--   push      hash   one push: record, body (until all recipients are final), open (recipients not final),
--                    notify (when results were asked for), keep (for how long it is known once they were told,
--                    s), count, print, logs (for how long its log is kept, s)
--                    a<i> recipient, r<i> result, f<i> final mark
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
--   log       list   its event log, MessagePack
--   handover  zset   push refs whose deliveries may not be in the outbox yet; score: accepted, ms
--   quota     hash   stored:<initiator>, final:<initiator>: deliveries of an initiator with limits, since ever
--   totals    hash   accepted, <state>: deliveries of all pushes that were accepted, and that ended so, since ever
--   records   stream results whose event data records are to be written; only there while some notifier writes them
--   notify    zset   "<ref>.<i>" results still owed to the initiator; score: next try, ms

local UNPACKED = 4000 -- Lua's stack holds about 8,000 values
local MOST_NOTED = 20000 -- lines of an event log; results come on top
local MOST_RECORDED = 250000 -- results of one push shard that wait for their event data records; the oldest go first
local TOLD_WITHIN_S = 600 -- a push whose results are owed is known for so long at least, however short its retention
local MOST_LOGGED = 1000 -- failures of one push to subscribers that its event log has

-- Erase the content of a push that is over, now or when the last link to it runs out; returns for how many seconds
-- the push is remembered. `pieces` and `links` as the push has them.
local function erase(push, content, pieces, links, now, retention_s)
  redis.call('HDEL', push, 'body')
  if not pieces then
    return retention_s
  end
  local left_ms = tonumber(links or 0) - now
  if left_ms <= 0 then
    redis.call('UNLINK', content)
    return retention_s
  end
  redis.call('PEXPIRE', content, string.format('%d', left_ms))
  return math.max(tonumber(retention_s), math.ceil(left_ms / 1000))
end

-- For how many seconds a push that has ended is known, when its results are owed: notifiers may be late. What it would be
-- otherwise is noted, for when it has been told.
local function kept_until_told(push, remembered_s, is_owed)
  if not is_owed or tonumber(remembered_s) >= TOLD_WITHIN_S then
    return remembered_s
  end
  redis.call('HSET', push, 'keep', remembered_s)
  return TOLD_WITHIN_S
end

-- A push to subscribers ends with the last result of the last shard.
local function end_fan_out(push, log, counted, content, now, retention_s)
  local open = redis.call('HMGET', push, 'shards', 'total', 'done', 'pieces', 'links', 'logs')
  if open[1] == '0' and open[2] == open[3] then
    local remembered_s = erase(push, content, open[4], open[5], now, retention_s)
    redis.call('EXPIRE', push, remembered_s)
    redis.call('EXPIRE', log, open[6] and math.min(open[6], remembered_s) or remembered_s)
    redis.call('EXPIRE', counted, remembered_s)
  end
end

-- Count the final result of one delivery to a subscriber. Answers 0 when it was counted before.
local function count(push, log, counted, index, state, event)
  if redis.call('SETBIT', counted, index, 1) == 1 then
    return 0
  end
  redis.call('HINCRBY', push, 'n:' .. state, 1)
  redis.call('HINCRBY', push, 'done', 1)
  local fine = state == 'delivered' or state == 'cancelled'
  if not fine and redis.call('HINCRBY', push, 'logged', 1) <= MOST_LOGGED then
    redis.call('RPUSH', log, event)
  end
  return 1
end

-- Have an event data record written of a final result, where any notifier writes them: only then there is the stream.
local function record_result(records, name, result, carried)
  redis.call('XADD', records, 'NOMKSTREAM', 'MAXLEN', '~', MOST_RECORDED, '*', 'n', name, 'r', result, 'c', carried)
end

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

-- A push whose recipients are all final from the start has ended.
local function end_at_once(push, log, content, now_ms, retention_s, owed)
  if retention_s ~= '0' then
    local remembered_s = erase(push, content, content and '1', '0', tonumber(now_ms), retention_s)
    remembered_s = kept_until_told(push, remembered_s, string.find(owed, '^%d'))
    redis.call('EXPIRE', push, remembered_s)
    redis.call('EXPIRE', log, remembered_s)
  end
end

-- A push-id is taken while its push is known, and for some time after it was accepted.
local function is_taken(push, own, ref, now_ms, kept_ms)
  if redis.call('EXISTS', push) == 1 then
    return true
  end
  local accepted_ms = kept_ms ~= '0' and redis.call('ZSCORE', own, ref)
  return accepted_ms and accepted_ms + kept_ms > tonumber(now_ms)
end

-- Count the recipients of a push that was accepted, and those of them that are final from the start: "<number>", and
-- then "<state> <number> ...", which most have not.
local function count_accepted(totals, recipients)
  local accepted = tonumber(recipients)
  if not accepted then
    accepted = string.match(recipients, '%d+')
    for state, number in string.gmatch(recipients, '(%a+) (%d+)') do
      redis.call('HINCRBY', totals, state, number)
    end
  end
  if accepted ~= 0 then
    redis.call('HINCRBY', totals, 'accepted', accepted)
  end
end

-- Store a push, unless its ref is taken. Recipients that are final from the start are owed their result at once.
-- KEYS push, log, handover, notify, own, totals, records, and upload, content for content that was uploaded
-- ARGV ref, now ms, first event, owed "<i>,<i>...", or with '-' in front only recorded, for how long push-ids stay
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
  redis.call('RPUSH', keys[2], args[3])
  redis.call('ZADD', keys[3], args[2], args[1])
  redis.call('ZADD', keys[5], args[2], args[1])
  owe(keys[4], keys[7], args[1], args[2], args[4])
  count_accepted(keys[6], args[7])
  end_at_once(keys[1], keys[2], keys[9], args[2], args[6], args[4])
  return 1
end

-- The same for a push whose many recipients were staged before, page by page: it is there as a whole, or not at all.
-- KEYS push, log, handover, notify, own, totals, records, staged, and upload, content for content that was uploaded
-- ARGV ref, now ms, first event, owed "<i>,<i>...", or with '-' in front only recorded, for how long push-ids stay
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
  redis.call('RPUSH', keys[2], args[3])
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

-- Store results. A recipient that is final stays as it is. Results of a push to subscribers are counted.
-- KEYS notify, quota, totals, records, then for each result: push, log, counted, content
-- ARGV now ms, retention s, then for each result: ref, index, result, its state when final or '', event, and what its
-- event data record is to have besides
-- Answers for each result 1, or 0 when the recipient was final before or the push is gone.
local function result(keys, args)
  local answer, ended = {}, {}
  local is_recorded = redis.call('EXISTS', keys[4]) == 1
  local a = 3
  for k = 5, #keys, 4 do
    local push, log, counted, content = keys[k], keys[k + 1], keys[k + 2], keys[k + 3]
    local ref, index, record, final, event = args[a], args[a + 1], args[a + 2], args[a + 3], args[a + 4]
    local carried = args[a + 5]
    a = a + 6
    local known = redis.call('HMGET', push, 'a' .. index, 'f' .. index, 'notify', 'open', 'shards', 'pieces', 'links',
      'n:pending', 'quota', 'logs')
    if known[5] then
      answer[#answer + 1] = final ~= '' and count(push, log, counted, index, final, event) or 0
      end_fan_out(push, log, counted, content, args[1], args[2])
    elseif not known[1] or known[2] then
      answer[#answer + 1] = 0
    elseif final == '' then
      redis.call('HSET', push, 'r' .. index, record)
      redis.call('RPUSH', log, event)
      answer[#answer + 1] = 1
    else
      local open = tonumber(known[4]) - 1
      redis.call('HSET', push, 'r' .. index, record, 'f' .. index, 1, 'open', open)
      redis.call('RPUSH', log, event)
      if known[8] then
        redis.call('HINCRBY', push, 'n:pending', -1)
        redis.call('HINCRBY', push, 'n:' .. final, 1)
      end
      if known[9] then
        redis.call('HINCRBY', keys[2], 'final:' .. known[9], 1)
      end
      if known[3] then
        redis.call('ZADD', keys[1], args[1], ref .. '.' .. index)
      end
      if open == 0 then
        local remembered_s = erase(push, content, known[6], known[7], args[1], args[2])
        remembered_s = kept_until_told(push, remembered_s, known[3])
        redis.call('EXPIRE', push, remembered_s)
        redis.call('EXPIRE', log, known[10] and math.min(known[10], remembered_s) or remembered_s)
      end
      answer[#answer + 1] = 1
    end
    if final ~= '' and answer[#answer] == 1 then
      ended[final] = (ended[final] or 0) + 1
      if is_recorded then
        record_result(keys[4], ref .. '.' .. index, record, carried)
      end
    end
  end
  for state, number in pairs(ended) do
    redis.call('HINCRBY', keys[3], state, number)
  end
  return answer
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
  local known = redis.call('HMGET', keys[1], 'record', 'body', 'pieces', 'secret', 'links')
  if not known[1] or not (known[2] or known[3]) then
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

-- Take out what a push says of one recipient whose result is final, and lines of its event log.
-- KEYS push, log    ARGV index or '', recipient and result in place of its own, number of a line, event, number ...
-- Answers 1, or 0 when the result is not final or the push is gone.
local function erase_recipient(keys, args)
  if args[1] ~= '' then
    if redis.call('HEXISTS', keys[1], 'f' .. args[1]) == 0 then
      return 0
    end
    redis.call('HSET', keys[1], 'a' .. args[1], args[2], 'r' .. args[1], args[3])
  end
  local length = redis.call('LLEN', keys[2])
  for i = 4, #args, 2 do
    if tonumber(args[i]) < length then
      redis.call('LSET', keys[2], args[i], args[i + 1])
    end
  end
  return 1
end

-- Add events to logs of pushes that are still known; not to one that is too long.
-- KEYS log ...    ARGV event for each
local function note(keys, args)
  for i, event in ipairs(args) do
    if redis.call('RPUSHX', keys[i], event) > MOST_NOTED then
      redis.call('RPOP', keys[i])
    end
  end
  return #args
end

redis.register_function('omapush_accept', accept)
redis.register_function('omapush_accept_staged', accept_staged)
redis.register_function('omapush_result', result)
redis.register_function('omapush_mark', mark)
redis.register_function('omapush_told_all', told_all)
redis.register_function('omapush_steer', steer)
redis.register_function('omapush_link', link)
redis.register_function('omapush_erase_recipient', erase_recipient)
redis.register_function('omapush_note', note)
