#!lua
-- Keep a draft, or forget it when it is empty; an owner has so many.
-- KEYS: drafts
-- ARGV: question id, draft or '', most drafts, seconds they are kept
if ARGV[2] == '' then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  local some = redis.call('HRANDFIELD', KEYS[1])
  redis.call('HDEL', KEYS[1], some)
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
