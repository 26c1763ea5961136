#!lua flags=allow-oom
-- End a question, once.
-- KEYS: question, inbox, due, log, pending
-- ARGV: outcome, tenant, seconds it is kept, channel, what the event says before the listing, '1' if
--       the event may have the outcome, which then need not be on replicas
-- Returns 1 | the outcome that was first | false when there is none, or, of a question that has them,
--         {the outcome that counts, its answers, its notes}
local there = redis.call('HMGET', KEYS[1], 'o', 'l', 's', 't', 'v', 'w')
if there[4] ~= ARGV[2] then
  return false
end
local beside = there[5] or there[6]
if there[1] then
  return beside and {there[1], there[5] or '', there[6] or ''} or there[1]
end
local listing = there[2]
local due = there[3] == '' and listing or listing .. '\n' .. there[3]
local time = redis.call('TIME')
local deadline = redis.call('ZSCORE', KEYS[3], due)
local left = deadline and tonumber(deadline) - time[1] - time[2] / 1000000 or 0
redis.call('HSET', KEYS[1], 'o', ARGV[1])
redis.call('HDEL', KEYS[1], 'h')
-- Not before its deadline: until then, whoever has a question that is gone puts it back.
redis.call('EXPIRE', KEYS[1], math.max(tonumber(ARGV[3]), math.ceil(left)))
redis.call('ZREM', KEYS[2], listing)
if redis.call('ZREM', KEYS[3], due) == 1 and there[3] ~= '' then
  local session = 's' .. there[3]
  if redis.call('HINCRBY', KEYS[5], session, -1) <= 0 then
    redis.call('HDEL', KEYS[5], session)
  end
end
local event = ARGV[5] .. listing
local entry = redis.call('XADD', KEYS[4], 'MAXLEN', '~', 20000, '0-*', 'e', event)
local message = string.sub(entry, 3) .. ' ' .. event
if ARGV[6] == '1' and #ARGV[1] <= 2048 and not beside then
  -- It never changes: whoever waits for it need not ask.
  message = message .. '\n' .. ARGV[1]
end
redis.call('SPUBLISH', ARGV[4], message)
return beside and {ARGV[1], there[5] or '', there[6] or ''} or 1
