#!lua
-- Store an open question, or say which one is there already.
-- KEYS: question, inbox, due, log, pending, alive [, asked]
-- ARGV: body, listing, tenant, session, milliseconds until its deadline, seconds it is kept after that,
--       most open ones here, most of one session here, who is to show it or '', channel,
--       what the event says before the listing, what it says before who shows it and the listing,
--       this instance, [id, id of an asked one that is gone or '']
-- Returns {'open', sequence} | {'there', body, outcome or ''} | {'asked', id} | {'full', scope}
local there = redis.call('HMGET', KEYS[1], 'b', 'o')
if there[1] then
  return {'there', there[1], there[2] or ''}
end
if KEYS[7] then
  local earlier = redis.call('GET', KEYS[7])
  if earlier and earlier ~= ARGV[15] then
    return {'asked', earlier}
  end
end
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[7]) then
  return {'full', 'gateway'}
end
-- Who sweeps it, when its own key is gone, must know whose count to lower.
local due = ARGV[2]
local session = false
if ARGV[4] ~= '' then
  due = due .. '\n' .. ARGV[4]
  session = 's' .. ARGV[4]
  if tonumber(redis.call('HGET', KEYS[5], session) or 0) >= tonumber(ARGV[8]) then
    return {'full', 'session'}
  end
end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local left = ARGV[5] / 1000
local kept = math.ceil(left + ARGV[6])
redis.call('HSET', KEYS[1], 'b', ARGV[1], 'l', ARGV[2], 't', ARGV[3], 's', ARGV[4])
local event = ARGV[11] .. ARGV[2]
local body = ''
local holder = ARGV[9]
if holder ~= '' and holder ~= ARGV[13] then
  local until_then = redis.call('ZSCORE', KEYS[6], holder)
  if not until_then or tonumber(until_then) <= now then
    holder = ''
  elseif #ARGV[1] <= 2048 then
    -- It never changes: whoever is given it need not ask.
    body = '\n' .. ARGV[1]
  end
end
if holder ~= '' then
  redis.call('HSET', KEYS[1], 'h', holder)
  event = ARGV[12] .. holder .. ' ' .. ARGV[2]
end
redis.call('EXPIRE', KEYS[1], kept)
redis.call('ZADD', KEYS[2], now, ARGV[2])
if redis.call('ZADD', KEYS[3], now + left, due) == 1 and session then
  redis.call('HINCRBY', KEYS[5], session, 1)
end
if KEYS[7] then
  redis.call('SET', KEYS[7], ARGV[14], 'EX', kept)
end
local entry = redis.call('XADD', KEYS[4], 'MAXLEN', '~', 20000, '0-*', 'e', event)
local sequence = string.sub(entry, 3)
redis.call('SPUBLISH', ARGV[10], sequence .. ' ' .. event .. body)
return {'open', sequence}
