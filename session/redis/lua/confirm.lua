#!lua flags=allow-oom
-- Write something: replicas that have it have all that was written before it.
-- KEYS: question
-- Returns 1, or 0 when it is gone
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'c', '1')
return 1
