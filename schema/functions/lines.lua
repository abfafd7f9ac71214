-- How lines are added to the event log of a push; `-- uses lines.lua` is where it is put in.
--
-- A push to one recipient has the first lines of its log with itself: e0, e1 ... and `lines`, how many these are. All
-- further ones, and those of any other push, are in the list `log`.

local MOST_WITH_PUSH = 16 -- as in omapush/store/event_log.py; with more the push would not be one piece of memory
local MOST_NOTED = 20000 -- lines of the list; results come on top
local FIELD, AFTER = {}, {} -- by `lines`: where the next line goes, and what `lines` is then
for number = 0, MOST_WITH_PUSH - 1 do -- a number that goes to Redis costs more than all else about it
  FIELD['' .. number], AFTER['' .. number] = 'e' .. number, '' .. number + 1
end

-- Add a line to the log of a push, never to that of one that is gone. `lines` as the push has it, or false.
-- Answers how many the list has, 0 when the line is not in it.
local function add_line(push, log, lines, event)
  if not lines then
    return redis.call('RPUSHX', log, event)
  end
  local field = FIELD[lines]
  if field then
    redis.call('HSET', push, field, event, 'lines', AFTER[lines])
    return 0
  end
  local length = redis.call('RPUSH', log, event)
  local left_ms = length == 1 and redis.call('PTTL', push) or -1
  if left_ms > 0 then -- a list that begins after the end of its push must not outlive it
    redis.call('PEXPIRE', log, left_ms)
  end
  return length
end

-- The same, unless the log is too long.
local function note_line(push, log, lines, event)
  if add_line(push, log, lines, event) > MOST_NOTED then
    redis.call('RPOP', log)
  end
end
