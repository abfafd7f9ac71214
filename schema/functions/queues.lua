-- What the libraries of the outbox have in common; `-- uses queues.lua` is where it is put in.
--
-- The order in a ticket has its priority in it, as the score in `ready` has (`order_of` in omapush/push/values.py):
-- microseconds since 1970 as they are for medium, less for high, more for low, so that no two priorities meet.

local TARGET = 16
local REF = 20
local HIGH, MEDIUM, LOW = 1, 2, 3
local OFFSET = { -1.7e15, 0, 3e15 }
local FIRST = { 0, 1e15, 4e15 } -- below any time
local DIGIT = { '0', '1', '4' }
local LATE_MS = 60000 -- longer than a sender has a delivery in hand
local MOST_LATE = 256 -- of one shard: the newest, for senders read them all; what was sent already is among them
local SHARE = 16 -- one in so many is of a lower priority, as long as there is one

local function priority(ticket)
  local digit = string.byte(ticket, TARGET + 1) - 48
  return digit < 1 and HIGH or digit < 4 and MEDIUM or LOW
end

-- Priority and order of acceptance: of one target's tickets the lower goes first.
local function order(ticket)
  return tonumber(string.sub(ticket, TARGET + 1, 2 * TARGET))
end

-- What fan-outs keep about a ticket sorts by push.
local function by_push(ticket)
  return string.sub(ticket, 2 * TARGET + 1, 2 * TARGET + REF) .. ticket
end

local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

-- Ready since `at`; without it since it was accepted.
local function make_ready(ready, ticket, at)
  local score = at and string.format('%d', at + OFFSET[priority(ticket)]) or string.sub(ticket, TARGET + 1, 2 * TARGET)
  redis.call('ZADD', ready, score, ticket)
end

-- Make ready before all others of its priority.
local function first_of_all(ready, ticket)
  redis.call('ZADD', ready, FIRST[priority(ticket)], ticket)
end

-- Ready when the target is free, or held by something that goes later and that nobody has taken yet; else behind it.
local function queue(busy, ready, waiting, ticket, at)
  local target = string.sub(ticket, 1, TARGET)
  if redis.call('HSETNX', busy, target, ticket) == 1 then
    return make_ready(ready, ticket, at)
  end
  local holder = redis.call('HGET', busy, target)
  if holder == ticket then
    make_ready(ready, ticket, at)
  elseif order(ticket) < order(holder) and redis.call('ZREM', ready, holder) == 1 then
    redis.call('ZADD', waiting, 0, holder)
    redis.call('HSET', busy, target, ticket)
    make_ready(ready, ticket, at)
  else
    redis.call('ZADD', waiting, 0, ticket)
  end
end

-- What is next of one target: the most urgent; now and then the first of the least urgent.
local function next_of(waiting, target)
  local first = redis.call('ZRANGE', waiting, '[' .. target, '(' .. target .. '~', 'BYLEX', 'LIMIT', 0, 1)[1]
  if not first or priority(first) == LOW or now_us() % SHARE ~= 0 then
    return first
  end
  for lower = LOW, priority(first) + 1, -1 do
    local found = redis.call('ZRANGE', waiting, '[' .. target .. DIGIT[lower], '(' .. target .. '~',
      'BYLEX', 'LIMIT', 0, 1)[1]
    if found then
      return found
    end
  end
  return first
end

local function free(busy, ready, waiting, ticket)
  local target = string.sub(ticket, 1, TARGET)
  if redis.call('HGET', busy, target) ~= ticket then
    return
  end
  local behind = redis.call('EXISTS', waiting) == 1 and next_of(waiting, target)
  if behind then
    redis.call('ZREM', waiting, behind)
    redis.call('HSET', busy, target, behind)
    make_ready(ready, behind, now_us())
  else
    redis.call('HDEL', busy, target)
  end
end

-- The same for many tickets, mostly ones that nothing waits behind: those cost no command of their own.
local function free_all(busy, ready, waiting, tickets)
  local targets, alone = {}, {}
  for i, ticket in ipairs(tickets) do
    targets[i] = string.sub(ticket, 1, TARGET)
  end
  local any_waiting = redis.call('EXISTS', waiting) == 1
  for i, holder in ipairs(redis.call('HMGET', busy, unpack(targets))) do
    if holder == tickets[i] then
      if any_waiting then
        free(busy, ready, waiting, tickets[i])
      else
        alone[#alone + 1] = targets[i]
      end
    end
  end
  if #alone > 0 then
    redis.call('HDEL', busy, unpack(alone))
  end
end

-- Give a share of what is taken to lower priorities, which wait though there is room for no more: in place of
-- the last of `tickets`. By turns it is for the lowest, so that the one between does not take it all.
-- Answers whether it did.
local function share_out(ready, tickets, lowest)
  local at, most = now_us(), #tickets
  local share = math.floor(most / SHARE) + (at % SHARE < most % SHARE and 1 or 0)
  local lower = math.floor(at / SHARE) % 2 == 0 and lowest or priority(tickets[most]) + 1
  local found = share > 0
    and redis.call('ZRANGE', ready, FIRST[lower], '+inf', 'BYSCORE', 'LIMIT', 0, share) or {}
  for i, ticket in ipairs(found) do
    tickets[most - i + 1] = ticket
  end
  return #found > 0
end

-- Take up to so many out of `ready`: by priority, then by time; a small share goes to lower priorities.
local function most_urgent(ready, most)
  local tickets = most > 0 and redis.call('ZRANGE', ready, 0, most - 1) or {}
  if #tickets == 0 then
    return tickets
  end
  if #tickets == most then
    local last = redis.call('ZRANGE', ready, -1, -1)[1]
    if priority(last) > priority(tickets[most]) and share_out(ready, tickets, priority(last)) then
      redis.call('ZREM', ready, unpack(tickets))
      return tickets
    end
  end
  redis.call('ZREMRANGEBYRANK', ready, 0, #tickets - 1) -- they are in a row: no need to look for each
  return tickets
end

-- Most tickets never were in these structures, and mostly the structures are not even there.
local function forget(structures, command, tickets)
  for _, structure in ipairs(structures) do
    if redis.call('EXISTS', structure) == 1 then
      redis.call(command, structure, unpack(tickets))
    end
  end
end

-- Put one delivery into the outbox, unless it is there or was withdrawn.
-- KEYS delivery, busy, ready, waiting, expiry, later, withdrawn
-- ARGV from i on: ticket, record, deliver-before ms, deliver-after ms or 0
-- It counts as ready since `at`, or since it was accepted.
local function put(keys, args, i, at, any_withdrawn)
  local ticket, after_ms = args[i], args[i + 3]
  if any_withdrawn and redis.call('ZSCORE', keys[7], ticket) then
    return 0
  end
  if redis.call('HSETNX', keys[1], ticket, args[i + 1]) == 0 then
    return 0
  end
  redis.call('ZADD', keys[5], args[i + 2], ticket)
  if after_ms ~= '0' and tonumber(after_ms) > now_ms() then
    redis.call('ZADD', keys[6], after_ms, ticket)
  else
    queue(keys[2], keys[3], keys[4], ticket, at)
  end
  return 1
end

-- A sender that has a later one of the target in hand is told, for it may see already what has changed for the user,
-- and nothing of what waits: it lets that go first.
local function let_go_first(late, holder, woken)
  if order(woken) < order(holder) then
    local now = now_ms()
    redis.call('ZREMRANGEBYSCORE', late, '-inf', now - LATE_MS)
    redis.call('ZADD', late, now, holder)
    redis.call('ZREMRANGEBYRANK', late, 0, -MOST_LATE - 1)
    redis.call('PEXPIRE', late, LATE_MS)
  end
end

-- Queue what is held for one target; or of that, only what has been tried before and found the device away.
-- `keys` begins with held, later, busy, ready, waiting, attempts, late. Answers how many.
local function wake_target(keys, target, only_tried, at)
  local woken, first = 0, nil
  for _, ticket in ipairs(redis.call('ZRANGE', keys[1], '[' .. target, '(' .. target .. '~', 'BYLEX')) do
    if not only_tried or redis.call('HEXISTS', keys[6], ticket) == 1 then
      redis.call('ZREM', keys[1], ticket)
      if redis.call('ZREM', keys[2], ticket) == 1 then
        queue(keys[3], keys[4], keys[5], ticket, at)
        woken, first = woken + 1, first or ticket
      end
    end
  end
  if first then
    let_go_first(keys[7], redis.call('HGET', keys[3], target), first)
  end
  return woken
end
