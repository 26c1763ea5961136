#!lua flags=allow-oom
-- Say that this instance lives, note who does not, and return what is due and what is new.
-- KEYS: due, log, alive
-- ARGV: instance, seconds it is taken to live, last sequence heard or -1, most due ones,
--       most events, channel, what is said of an instance before its name, how many live that
--       are to end what is due first
-- Returns {whether this instance was taken for dead, what is due as `admit` wrote it, last sequence,
--          events after the last one heard, in pairs of sequence and event, instances alive}
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local forgotten = redis.call('ZADD', KEYS[3], now + ARGV[2], ARGV[1])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now)) do
  redis.call('ZREM', KEYS[3], gone)
  local event = ARGV[7] .. gone
  local entry = redis.call('XADD', KEYS[2], 'MAXLEN', '~', 20000, '0-*', 'e', event)
  redis.call('SPUBLISH', ARGV[6], string.sub(entry, 3) .. ' ' .. event)
end
local first = 0
if ARGV[8] ~= '0' then
  -- While there is more than enough for everybody, nobody does what another one does.
  local count = redis.call('ZCOUNT', KEYS[1], '-inf', now)
  first = math.max(0, math.min(ARGV[8] * ARGV[4], count - ARGV[4]))
end
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', first, ARGV[4])
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local sequence = last[1] and string.sub(last[1][1], 3) or '0'
local events = {}
local heard = tonumber(ARGV[3])
if heard >= 0 and tonumber(sequence) > heard then
  for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '(0-' .. ARGV[3], '+', 'COUNT', ARGV[5])) do
    events[#events + 1] = string.sub(entry[1], 3)
    events[#events + 1] = entry[2][2]
  end
end
return {forgotten, due, sequence, events, redis.call('ZRANGE', KEYS[3], 0, -1)}
