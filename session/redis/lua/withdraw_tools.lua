#!lua flags=allow-oom
-- Forget what a connection offers; its definitions go by themselves.
-- KEYS: tools, log. ARGV: connection, channel, event
-- Returns whether it offered anything
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return 0
end
local entry = redis.call('XADD', KEYS[2], 'MAXLEN', '~', 20000, '0-*', 'e', ARGV[3])
redis.call('SPUBLISH', ARGV[2], string.sub(entry, 3) .. ' ' .. ARGV[3])
return 1
