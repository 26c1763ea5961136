#!lua flags=allow-oom
-- Take a question from the lists whose own key is gone: it was kept long enough, or lost.
-- KEYS: question, inbox, due, pending
-- ARGV: listing, session
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[2] == '' then
  redis.call('ZREM', KEYS[3], ARGV[1])
elseif redis.call('ZREM', KEYS[3], ARGV[1] .. '\n' .. ARGV[2]) == 1 then
  local session = 's' .. ARGV[2]
  if redis.call('HINCRBY', KEYS[4], session, -1) <= 0 then
    redis.call('HDEL', KEYS[4], session)
  end
end
return 1
