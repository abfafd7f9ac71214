#!lua name=omapush_outbox
-- The outbox of one user shard. Every key of a call carries the tag of that shard.
--
-- A ticket names one delivery: target (16), priority and order of acceptance (16), delivery id. What waits for one
-- target therefore sorts by priority, then by acceptance in `waiting`, and a target has at most one ticket that is
-- ready or taken.
--
--   owner    hash    node, run, sender, until_ms, since_ms: who may take
--   delivery hash    ticket -> Delivery (MessagePack)
--   attempts hash    ticket -> tries that ended with "again"; absent: none
--   repeats  hash    ticket -> times it was sent again because its process died; absent: never
--   busy     hash    target -> its ticket that is ready, taken, or put off
--   ready    zset    tickets whose target is free for them; score: since when, us, moved by priority
--   waiting  zset    tickets behind a busy target, all with score 0
--   taken    zset    tickets at a sender; score: when they count as lost, ms
--   later    zset    tickets that try again, or for the first time then; score: when, ms
--   held     zset    those of them that wait for their user's registration to change, all with score 0: held
--                    without a try, or after one that found the device away; a
--                    ticket stays here while it is looked at again only because its time has come
--   late     zset    tickets at a sender though earlier ones of their target are ready again; score: since when, ms
--   told     hash    ticket -> what each subscription answered to it: "<id> <SIP code> " ..., for a push that goes
--                    to several of one user in turn; absent: nothing yet
--   expiry   zset    all tickets; score: deliver-before, ms
--   stopped  hash    tickets that were at a sender when they were cancelled or replaced -> why: not sent again
--   withdrawn zset   tickets that were cancelled or replaced: not put here again; score: when, ms
--   untold   hash    those of them whose push may not know yet -> why
--   newest    hash   target and 16 digits of the replace key -> order, ticket and why an older one goes, of the newest
--   aging     zset   the same fields; score: deliver-before of the newest, when it is forgotten
--   backlog  zset    push ref and ticket of what a fan-out put here, all with score 0
--   halted   set     refs of fan-outs that are paused or aborted: what is ready of them is not taken
--   parked   zset    push ref and ticket of what was ready of them, all with score 0; meanwhile in `later`
--
-- All times are Redis' own: the clocks of the nodes may differ.

-- uses queues.lua

local PARKED_MS = 3600000 -- looked at again after so long though nobody resumed it
local LONGEST_LEASE_MS = 60000 -- of delivery.lease_ms; one that ends later was given before the clock went back

-- Put deliveries into the outbox; a ticket that is there already is left as it is.
-- KEYS delivery, busy, ready, waiting, expiry, later, withdrawn
-- ARGV ticket, record, deliver-before ms, deliver-after ms or 0, ticket ...
-- Answers how many were new.
local function hand_over(keys, args)
  local new, any_withdrawn = 0, redis.call('EXISTS', keys[7]) == 1
  for i = 1, #args, 4 do
    new = new + put(keys, args, i, nil, any_withdrawn)
  end
  return new
end

-- Put one page of a fan-out into the outbox and note how far it is, unless somebody else did or stopped it.
-- KEYS delivery, busy, ready, waiting, expiry, later, withdrawn, backlog, fanning
-- ARGV ref, progress before, progress after, ticket, record, deliver-before ms, deliver-after ms or 0, ticket ...
-- Answers 1 done, 0 the progress is another by now.
local function expand(keys, args)
  if redis.call('HGET', keys[9], args[1]) ~= args[2] then
    return 0
  end
  local at = now_us()
  redis.call('HSET', keys[9], args[1], args[3])
  for i = 4, #args, 4 do
    put(keys, args, i, at, false)
    redis.call('ZADD', keys[8], '0', by_push(args[i]))
  end
  return 1
end

-- Become or stay the shard's owner. A node that comes back with another run is known to have died: what it
-- had taken is due for repetition at once, and its NOTIFYs are no longer under way.
-- KEYS owner, taken, sub-flight    ARGV node, run, sender, lease ms, transaction ms
-- Answers 1 owned, 0 somebody else's.
local function claim(keys, args)
  local owner, taken, sub_flight = unpack(keys)
  local node, run, sender = args[1], args[2], args[3]
  local now = now_ms()
  local was = redis.call('HMGET', owner, 'node', 'run', 'sender', 'until_ms', 'since_ms')
  if was[1] == node and was[2] == run and was[3] == sender then
    redis.call('HSET', owner, 'until_ms', now + args[4])
    return 1
  end
  local restarted = was[1] == node and was[2] ~= run
  local left = was[4] and tonumber(was[4]) - now or 0
  if left > 0 and left <= LONGEST_LEASE_MS and not restarted then
    return 0
  end
  if restarted then
    local from = tonumber(was[5]) + tonumber(args[5])
    for _, in_flight in ipairs({ taken, sub_flight }) do
      for _, name in ipairs(redis.call('ZRANGE', in_flight, from, '+inf', 'BYSCORE')) do
        redis.call('ZADD', in_flight, now, name)
      end
    end
  end
  -- Senders of one run share out shards anew while requests are in flight: those are of this ownership, too.
  local since = (was[1] == node and was[2] == run) and was[5] or now
  redis.call('HSET', owner, 'node', node, 'run', run, 'sender', sender, 'until_ms', now + args[4],
    'since_ms', since)
  return 1
end

-- Give the shard back, so that another process may have it at once.
-- KEYS owner    ARGV node, run, sender
local function release(keys, args)
  local owner = redis.call('HMGET', keys[1], 'node', 'run', 'sender')
  if owner[1] == args[1] and owner[2] == args[2] and owner[3] == args[3] then
    redis.call('HSET', keys[1], 'until_ms', 0)
    return 1
  end
  return 0
end

-- Take what is ready, for its owner only: what is more urgent first. What a halted fan-out has ready is parked,
-- what is stopped is left to the sweeper.
-- KEYS owner, ready, delivery, attempts, taken, busy, waiting, told, halted, parked, later, stopped, session-of
-- ARGV node, run, sender, transaction ms, most
-- Answers false for a stranger, else ticket, record, attempts, told, id of its session (each or false), ticket ...
local function take(keys, args)
  local owner = redis.call('HMGET', keys[1], 'node', 'run', 'sender', 'until_ms')
  local now = now_ms()
  if owner[1] ~= args[1] or owner[2] ~= args[2] or owner[3] ~= args[3] or tonumber(owner[4]) <= now then
    return false
  end
  local tickets = most_urgent(keys[2], tonumber(args[5]))
  if #tickets == 0 then
    return {}
  end
  local records = redis.call('HMGET', keys[3], unpack(tickets))
  local attempts = redis.call('EXISTS', keys[4]) == 1 and redis.call('HMGET', keys[4], unpack(tickets)) or {}
  local told = redis.call('EXISTS', keys[8]) == 1 and redis.call('HMGET', keys[8], unpack(tickets)) or {}
  local carried = redis.call('EXISTS', keys[13]) == 1 and redis.call('HMGET', keys[13], unpack(tickets)) or {}
  local taken, answer = {}, {}
  local lost_at = string.format('%d', now + args[4]) -- once: a number that goes to Redis is dear
  local any_halted = redis.call('EXISTS', keys[9]) == 1
  local any_stopped = redis.call('EXISTS', keys[12]) == 1
  for i, ticket in ipairs(tickets) do
    local member = any_halted and by_push(ticket)
    if any_stopped and redis.call('HEXISTS', keys[12], ticket) == 1 then
      redis.call('ZADD', keys[11], now, ticket)
      free(keys[6], keys[2], keys[7], ticket)
    elseif records[i] and member and redis.call('SISMEMBER', keys[9], string.sub(member, 1, REF)) == 1 then
      redis.call('ZADD', keys[10], 0, member)
      redis.call('ZADD', keys[11], now + PARKED_MS, ticket)
      free(keys[6], keys[2], keys[7], ticket)
    elseif records[i] then
      taken[#taken + 1] = lost_at
      taken[#taken + 1] = ticket
      answer[#answer + 1] = ticket
      answer[#answer + 1] = records[i]
      answer[#answer + 1] = attempts[i] or false
      answer[#answer + 1] = told[i] or false
      answer[#answer + 1] = carried[i] or false
    else
      free(keys[6], keys[2], keys[7], ticket)
    end
  end
  if #taken > 0 then
    redis.call('ZADD', keys[5], unpack(taken))
  end
  return answer
end

-- Finish tries: a final one leaves the outbox, another is put off; the target is free either way. What waits for
-- its user's registration to change may be woken by `wake_targets`, too.
-- KEYS delivery, attempts, repeats, taken, busy, ready, waiting, later, expiry, held, told, backlog, parked, stopped
-- ARGV ticket, when to try again in ms or 0 for final, 1 when it waits for the registration or 0, ticket ...
local function complete(keys, args)
  local final = {}
  local any_held = redis.call('EXISTS', keys[10]) == 1
  local any_told = redis.call('EXISTS', keys[11]) == 1
  for i = 1, #args, 3 do
    local ticket, again_ms = args[i], args[i + 1]
    if again_ms == '0' then
      final[#final + 1] = ticket
    elseif redis.call('ZREM', keys[4], ticket) == 1 then
      redis.call('HINCRBY', keys[2], ticket, '1')
      redis.call('ZADD', keys[8], again_ms, ticket)
      if args[i + 2] == '1' then
        redis.call('ZADD', keys[10], '0', ticket)
      elseif any_held then
        redis.call('ZREM', keys[10], ticket)
      end
      if any_told then
        redis.call('HDEL', keys[11], ticket)
      end
      free(keys[5], keys[6], keys[7], ticket)
    end
  end
  if #final > 0 then
    redis.call('HDEL', keys[1], unpack(final))
    local all_taken = redis.call('ZREM', keys[4], unpack(final)) == #final
    redis.call('ZREM', keys[9], unpack(final))
    forget({ keys[2], keys[3], keys[11], keys[14] }, 'HDEL', final)
    forget({ keys[7], keys[10] }, 'ZREM', final)
    if not all_taken then -- what is taken is not in `later`, which may be large
      forget({ keys[8] }, 'ZREM', final)
    end
    if redis.call('EXISTS', keys[12]) == 1 then
      for _, ticket in ipairs(final) do
        redis.call('ZREM', keys[12], by_push(ticket))
        redis.call('ZREM', keys[13], by_push(ticket))
      end
    end
    free_all(keys[5], keys[6], keys[7], final)
  end
  return #args / 3
end

-- Queue the tries whose time has come.
-- KEYS later, busy, ready, waiting    ARGV most
-- Answers how many.
local function wake(keys, args)
  local later, busy, ready, waiting = unpack(keys)
  local at = now_us()
  local due = redis.call('ZRANGE', later, '-inf', math.floor(at / 1000), 'BYSCORE', 'LIMIT', 0, args[1])
  for _, ticket in ipairs(due) do
    redis.call('ZREM', later, ticket)
    queue(busy, ready, waiting, ticket, at)
  end
  return #due
end

-- Put tickets off that were taken and could not be sent yet; that is no try, and their targets stay theirs, so that
-- nothing overtakes them.
-- KEYS taken, later    ARGV ticket, wait ms, ticket ...
local function put_off(keys, args)
  local taken, later = unpack(keys)
  local now = now_ms()
  for i = 1, #args, 2 do
    if redis.call('ZREM', taken, args[i]) == 1 then
      redis.call('ZADD', later, now + args[i + 1], args[i])
    end
  end
  return #args / 2
end

-- Make tickets ready again at once, for another choice of their method: no try is counted, and their targets stay
-- theirs.
-- KEYS taken, ready, told    ARGV ticket, "<subscription id> <SIP code> " to be remembered or '', ticket ...
local function choose_again(keys, args)
  local taken, ready, told_before = unpack(keys)
  for i = 1, #args, 2 do
    local ticket, told = args[i], args[i + 1]
    if redis.call('ZREM', taken, ticket) == 1 then
      if told ~= '' then
        redis.call('HSET', told_before, ticket, (redis.call('HGET', told_before, ticket) or '') .. told)
      end
      first_of_all(ready, ticket)
    end
  end
  return #args / 2
end

-- Put tickets back into their targets' queues, where those that were accepted earlier come first; that is no try.
-- KEYS taken, busy, ready, waiting, late    ARGV ticket ...
local function give_way(keys, args)
  local taken, busy, ready, waiting, late = unpack(keys)
  for _, ticket in ipairs(args) do
    redis.call('ZREM', late, ticket)
    if redis.call('ZREM', taken, ticket) == 1 then
      redis.call('ZADD', waiting, 0, ticket)
      free(busy, ready, waiting, ticket)
    end
  end
  return #args
end

-- Find tickets whose sender never told a result.
-- KEYS taken    ARGV for how long at least ms, most
local function overdue(keys, args)
  return redis.call('ZRANGE', keys[1], '-inf', now_ms() - args[1], 'BYSCORE', 'LIMIT', 0, args[2])
end

-- Take, for the caller to end them, tickets that wait past their deliver-before. One that is at a sender is
-- left to its answer; one that the caller forgets is lost like any other and comes back.
-- KEYS expiry, taken, later, held    ARGV transaction ms, most
-- Answers each ticket, followed by 1 when it was held.
local function expire(keys, args)
  local expiry, taken, later, held = unpack(keys)
  local now, answer = now_ms(), {}
  for _, ticket in ipairs(redis.call('ZRANGE', expiry, '-inf', now, 'BYSCORE', 'LIMIT', 0, args[2])) do
    if not redis.call('ZSCORE', taken, ticket) then
      redis.call('ZADD', taken, now + args[1], ticket)
      redis.call('ZREM', later, ticket)
      answer[#answer + 1] = ticket
      answer[#answer + 1] = redis.call('ZREM', held, ticket)
    end
  end
  return answer
end

-- Put tries off that have no device to go to; the target is free, and no try is counted. One that is late waits behind
-- the earlier ones instead: what made these ready came after the look at the user that had it held.
-- KEYS taken, later, held, busy, ready, waiting, late    ARGV ticket, when to look again in ms, ticket ...
-- Answers for each 1 held anew, 0 it was held before and still is, -1 it is late, or not taken (any more).
local function hold(keys, args)
  local taken, later, held, busy, ready, waiting, late = unpack(keys)
  local answer, any_late = {}, redis.call('EXISTS', late) == 1
  for i = 1, #args, 2 do
    local ticket = args[i]
    local is_taken = redis.call('ZREM', taken, ticket) == 1
    if is_taken and any_late and redis.call('ZREM', late, ticket) == 1 then
      redis.call('ZADD', waiting, 0, ticket)
      answer[#answer + 1] = -1
      free(busy, ready, waiting, ticket)
    elseif is_taken then
      redis.call('ZADD', later, args[i + 1], ticket)
      answer[#answer + 1] = redis.call('ZADD', held, '0', ticket)
      free(busy, ready, waiting, ticket)
    else
      answer[#answer + 1] = -1
    end
  end
  return answer
end

-- Queue what is held for targets, in order of acceptance; or of that, only what has been tried before and found the
-- device away.
-- KEYS held, later, busy, ready, waiting, attempts, late    ARGV 1 for only what was tried or 0, target ...
-- Answers how many.
local function wake_targets(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then
    return 0
  end
  local woken, at = 0, now_us()
  for i = 2, #args do
    woken = woken + wake_target(keys, args[i], args[1] == '1', at)
  end
  return woken
end

-- Send lost tickets again, each at the head of its queue; a result that came meanwhile wins.
-- KEYS taken, ready, repeats    ARGV ticket ...
-- Answers the tickets that are ready again, each followed by how often that has happened.
local function send_again(keys, args)
  local taken, ready, repeats = unpack(keys)
  local now, answer = now_ms(), {}
  for _, ticket in ipairs(args) do
    local lost_at = redis.call('ZSCORE', taken, ticket)
    if lost_at and tonumber(lost_at) <= now then
      redis.call('ZREM', taken, ticket)
      first_of_all(ready, ticket)
      answer[#answer + 1] = ticket
      answer[#answer + 1] = redis.call('HINCRBY', repeats, ticket, 1)
    end
  end
  return answer
end

-- Tell that a sender process lives.
-- KEYS senders    ARGV process, how long it is believed ms
-- Answers how many live.
local function sign_of_life(keys, args)
  local now = now_ms()
  redis.call('ZADD', keys[1], now, args[1])
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', now - args[2])
  redis.call('ZREMRANGEBYSCORE', keys[1], '(' .. now, '+inf') -- from before the clock went back
  return redis.call('ZCARD', keys[1])
end

redis.register_function('omapush_hand_over', hand_over)
redis.register_function('omapush_expand', expand)
redis.register_function('omapush_claim', claim)
redis.register_function('omapush_release', release)
redis.register_function('omapush_take', take)
redis.register_function('omapush_complete', complete)
redis.register_function('omapush_wake', wake)
redis.register_function('omapush_put_off', put_off)
redis.register_function('omapush_choose_again', choose_again)
redis.register_function('omapush_give_way', give_way)
redis.register_function('omapush_overdue', overdue)
redis.register_function('omapush_expire', expire)
redis.register_function('omapush_send_again', send_again)
redis.register_function('omapush_sign_of_life', sign_of_life)
redis.register_function('omapush_hold', hold)
redis.register_function('omapush_wake_targets', wake_targets)
