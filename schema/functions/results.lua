#!lua name=omapush_results
-- Results of the pushes of one push shard. The structures are those of pushes.lua; every key of a call carries the tag
-- of that shard.

-- uses endings.lua
-- uses lines.lua

local REF = 20 -- characters of a push's ref, with which the names of its keys end
local UNPACKED = 4000 -- Lua's stack holds about 8,000 values
local MOST_LOGGED = 1000 -- failures of one push to subscribers that its event log has

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

-- Count a final result where its push is counted for an initiator, and owe it to one that wants to know.
-- KEYS as `result`; `quota` and `notify` as the push has them.
local function tell(keys, now_ms, name, quota, notify)
  if quota then
    redis.call('HINCRBY', keys[2], 'final:' .. quota, 1)
  end
  if notify then
    redis.call('ZADD', keys[1], now_ms, name)
  end
end

-- Store one result at its push; `k` and `a`: where it begins in the keys and arguments of `result`.
-- Answers as `result`.
local function store(keys, k, args, a)
  local push, log, counted, content = keys[k], keys[k + 1], keys[k + 2], keys[k + 3]
  local ref, index, record, final, event = args[a], args[a + 1], args[a + 2], args[a + 3], args[a + 4]
  local known = redis.call('HMGET', push, 'a' .. index, 'f' .. index, 'notify', 'open', 'shards', 'pieces', 'links',
    'n:pending', 'quota', 'logs', 'lines')
  if known[5] then
    local answer = final ~= '' and count(push, log, counted, index, final, event) or 0
    end_fan_out(push, log, counted, content, args[1], args[2])
    return answer
  elseif not known[1] or known[2] then
    return 0
  end
  add_line(push, log, known[11], event)
  if final == '' then
    redis.call('HSET', push, 'r' .. index, record)
    return 1
  end
  local open = tonumber(known[4]) - 1
  redis.call('HSET', push, 'r' .. index, record, 'f' .. index, '1', 'open', string.format('%d', open))
  if known[8] then
    redis.call('HINCRBY', push, 'n:pending', -1)
    redis.call('HINCRBY', push, 'n:' .. final, 1)
  end
  tell(keys, args[1], ref .. '.' .. index, known[9], known[3])
  if open == 0 then
    local remembered_s = erase(push, content, known[6], known[7], args[1], args[2])
    remembered_s = kept_until_told(push, remembered_s, known[3])
    redis.call('EXPIRE', push, remembered_s)
    redis.call('EXPIRE', log, known[10] and math.min(known[10], remembered_s) or remembered_s)
  end
  return 1
end

-- Store one result of a push that has one recipient, the first lines of its log and no content elsewhere: in as few
-- commands as there can be, for most pushes are such. `k` and `a`: where it begins in the keys and arguments of
-- `result_of_one`; `name` of the result among those owed; `any_list`: some push of the call may have a list.
-- Answers as `result_of_one`.
local function store_of_one(keys, k, args, a, name, any_list)
  local push, log = keys[k], keys[k + 1]
  local record, final, event = args[a], args[a + 1], args[a + 2]
  local known = redis.call('HMGET', push, 'lines', 'open', 'pieces', 'notify', 'quota')
  local lines, notify = known[1], known[4]
  if not lines or known[3] then
    return -1
  elseif known[2] == '0' then
    return 0
  end
  local fields = { 'r0', record, 'lines', AFTER[lines], FIELD[lines], event }
  if not FIELD[lines] then
    fields = { 'r0', record }
    add_line(push, log, lines, event)
  end
  if final == '' then
    redis.call('HSET', push, unpack(fields))
    return 1
  end
  -- To empty the body costs less than to delete it.
  redis.call('HSET', push, 'open', '0', 'f0', '1', 'body', '', unpack(fields))
  tell(keys, args[1], name, known[5], notify)
  local remembered_s = kept_until_told(push, args[2], notify)
  redis.call('EXPIRE', push, remembered_s)
  if any_list or not FIELD[lines] then
    redis.call('EXPIRE', log, remembered_s)
  end
  return 1
end

-- Count deliveries that ended, `ended` in each state.
local function count_ended(totals, ended)
  for state, number in pairs(ended) do
    redis.call('HINCRBY', totals, state, number)
  end
end

-- Store results. A recipient that is final stays as it is. Results of a push to subscribers are counted.
-- KEYS notify, quota, totals, records, then for each result: push, log, counted, content
-- ARGV now ms, retention s, then for each result: ref, index, result, its state when final or '', event, and what its
-- event data record is to have besides
-- Answers for each result 1, or 0 when the recipient was final before or the push is gone.
local function result(keys, args)
  local answer, ended, is_recorded = {}, {}, redis.call('EXISTS', keys[4]) == 1
  local a = 3
  for k = 5, #keys, 4 do
    local final = args[a + 3]
    local is_stored = store(keys, k, args, a)
    answer[#answer + 1] = is_stored
    if final ~= '' and is_stored == 1 then
      ended[final] = (ended[final] or 0) + 1
      if is_recorded then
        record_result(keys[4], args[a] .. '.' .. args[a + 1], args[a + 2], args[a + 5])
      end
    end
    a = a + 6
  end
  count_ended(keys[3], ended)
  return answer
end

-- Whether any of the pushes of a call has a list with lines of its event log.
local function any_lists(keys)
  local logs = {}
  for k = 6, #keys, 2 do
    logs[#logs + 1] = keys[k]
  end
  local number = 0
  for first = 1, #logs, UNPACKED do
    number = number + redis.call('EXISTS', unpack(logs, first, math.min(first + UNPACKED - 1, #logs)))
  end
  return number > 0
end

-- Store results of recipients number 0, as far as their pushes have no others.
-- KEYS notify, quota, totals, records, then for each result: push, log
-- ARGV now ms, retention s, then for each result: result, its state when final or '', event, and what its event data
-- record is to have besides
-- Answers for each result 1, 0 as `result`, or -1 when it is for `result`; then nothing is stored.
local function result_of_one(keys, args)
  local answer, ended, is_recorded = {}, {}, redis.call('EXISTS', keys[4]) == 1
  local any_list = any_lists(keys)
  local a = 3
  for k = 5, #keys, 2 do
    local final = args[a + 1]
    local name = string.sub(keys[k], -REF) .. '.0'
    local is_stored = store_of_one(keys, k, args, a, name, any_list)
    answer[#answer + 1] = is_stored
    if final ~= '' and is_stored == 1 then
      ended[final] = (ended[final] or 0) + 1
      if is_recorded then
        record_result(keys[4], name, args[a], args[a + 3])
      end
    end
    a = a + 4
  end
  count_ended(keys[3], ended)
  return answer
end

redis.register_function('omapush_result', result)
redis.register_function('omapush_result_of_one', result_of_one)
