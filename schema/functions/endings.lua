-- How a push ends; `-- uses endings.lua` is where it is put in. The structures are those of pushes.lua.

local MOST_RECORDED = 250000 -- results of one push shard that wait for their event data records; the oldest go first
local TOLD_WITHIN_S = 600 -- a push whose results are owed is known for so long at least, however short its retention

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

-- Have an event data record written of a final result, where any notifier writes them: only then there is the stream.
local function record_result(records, name, result, carried)
  redis.call('XADD', records, 'NOMKSTREAM', 'MAXLEN', '~', MOST_RECORDED, '*', 'n', name, 'r', result, 'c', carried)
end
