#!lua
-- Note what a connection offers, and keep the definitions for some more time.
-- KEYS: tools, log, definitions. ARGV: connection, offer, seconds, channel, event
-- Returns {1 if something changed}, or {-1, which definitions are not there}: nothing is noted then
local missing = {-1}
for at = 3, #KEYS do
  if redis.call('EXPIRE', KEYS[at], ARGV[3]) == 0 then
    missing[#missing + 1] = at - 3
  end
end
if #missing > 1 then
  return missing
end
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  return {0}
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local entry = redis.call('XADD', KEYS[2], 'MAXLEN', '~', 20000, '0-*', 'e', ARGV[5])
redis.call('SPUBLISH', ARGV[4], string.sub(entry, 3) .. ' ' .. ARGV[5])
return {1}
