#!lua flags=allow-oom
-- Read of which resources a session wants to hear; what one has left that has ended goes.
-- KEYS: session, subscriptions
-- ARGV: seconds they are kept
-- Returns nothing if there is no such session
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('DEL', KEYS[2])
  return false
end
redis.call('EXPIRE', KEYS[2], ARGV[1])
return redis.call('ZRANGE', KEYS[2], 0, -1)
