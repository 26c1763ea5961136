#!lua
-- Note what a stream waits for; a session keeps so many, the oldest go first.
-- KEYS: streams
-- ARGV: stream with what it waits for, most streams, seconds they are kept
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] + time[2] / 1000000, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
