#!lua name=omapush_records
-- Event data records of one push shard: results wait in a stream until a notifier has written them to its file.
--
--   records   stream  n "<ref>.<i>", r result ('': as the push has it), c how it travelled
--   recorder  string  the notifier that writes them; runs out unless it renews that

-- Become or stay the recorder, and read what is to be written now. The stream runs out when nobody writes any more.
-- KEYS recorder, records    ARGV who, lease ms, age at least ms, most, stream stays s
-- Answers entries as XRANGE does; false when somebody else is the recorder.
local function borrow_records(keys, args)
  local recorder = redis.call('GET', keys[1])
  if recorder and recorder ~= args[1] then
    return false
  end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  if redis.call('EXISTS', keys[2]) == 0 then
    redis.call('XDEL', keys[2], redis.call('XADD', keys[2], '*', 'n', ''))
  end
  redis.call('EXPIRE', keys[2], args[5])
  local time = redis.call('TIME')
  local before = time[1] * 1000 + math.floor(time[2] / 1000) - args[3]
  return redis.call('XRANGE', keys[2], '-', string.format('%d', before), 'COUNT', args[4])
end

-- Take out what is written.
-- KEYS records    ARGV id ...
-- Answers how many were still there.
local function settle_records(keys, args)
  return redis.call('XDEL', keys[1], unpack(args))
end

redis.register_function('omapush_borrow_records', borrow_records)
redis.register_function('omapush_settle_records', settle_records)
