#!lua flags=allow-oom
-- End questions whose deadlines have passed, each as settle.lua does.
-- KEYS: due, log, pending, then for each question: question, inbox
-- ARGV: seconds they are kept, channel, what events say before the listing, '1' if events may have
--       outcomes, then for each: outcome, tenant
-- Returns for each whether it was ended by this
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local ended = {}
local function expire(question, inbox, outcome, tenant)
  local there = redis.call('HMGET', question, 'o', 'l', 's', 't', 'v', 'w')
  if there[4] ~= tenant then
    return 0
  end
  if there[1] then
    -- The same one: the reply to its first copy was lost.
    return there[1] == outcome and 1 or 0
  end
  local listing = there[2]
  local due = there[3] == '' and listing or listing .. '\n' .. there[3]
  local deadline = redis.call('ZSCORE', KEYS[1], due)
  if deadline and tonumber(deadline) > now then
    return 0
  end
  redis.call('HSET', question, 'o', outcome)
  redis.call('HDEL', question, 'h')
  redis.call('EXPIRE', question, ARGV[1])
  redis.call('ZREM', inbox, listing)
  if redis.call('ZREM', KEYS[1], due) == 1 and there[3] ~= '' then
    local session = 's' .. there[3]
    if redis.call('HINCRBY', KEYS[3], session, -1) <= 0 then
      redis.call('HDEL', KEYS[3], session)
    end
  end
  local event = ARGV[3] .. listing
  local entry = redis.call('XADD', KEYS[2], 'MAXLEN', '~', 20000, '0-*', 'e', event)
  local message = string.sub(entry, 3) .. ' ' .. event
  if ARGV[4] == '1' and not there[5] and not there[6] then
    message = message .. '\n' .. outcome
  end
  redis.call('SPUBLISH', ARGV[2], message)
  return 1
end
for at = 1, (#KEYS - 3) / 2 do
  local key, value = 2 + 2 * at, 3 + 2 * at
  ended[at] = expire(KEYS[key], KEYS[key + 1], ARGV[value], ARGV[value + 1])
end
return ended
