#!lua
-- Note that a session wants to hear of a resource; it keeps so many. One that has ended keeps none.
-- KEYS: session, subscriptions
-- ARGV: URI, most subscriptions, seconds they are kept
-- Returns 0 if it has as many as it may
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 1
end
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[2]) then
    return 0
  end
  local time = redis.call('TIME')
  redis.call('ZADD', KEYS[2], time[1] + time[2] / 1000000, ARGV[1])
end
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
