#!lua
-- Keep a session for its idle time; one that others let live longer does.
-- KEYS: session
-- ARGV: session, seconds
local left = redis.call('TTL', KEYS[1])
if left == -1 or left > tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')
else
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
return 1
