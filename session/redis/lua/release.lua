#!lua flags=allow-oom
-- Hold a question no longer, and tell the others that it is free.
-- KEYS: question, log
-- ARGV: instance, channel, what the event says before the listing
-- Returns 1, or 0 when there is nothing to let go of
local there = redis.call('HMGET', KEYS[1], 'o', 'h', 'l')
if there[1] or there[2] ~= ARGV[1] then
  return 0
end
redis.call('HDEL', KEYS[1], 'h')
local event = ARGV[3] .. there[3]
local entry = redis.call('XADD', KEYS[2], 'MAXLEN', '~', 20000, '0-*', 'e', event)
redis.call('SPUBLISH', ARGV[2], string.sub(entry, 3) .. ' ' .. event)
return 1
