#!lua flags=allow-oom
-- Note that a listener of a session is gone, unless its order is another one by now.
-- KEYS: listening
-- ARGV: listener, its order
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and string.match(known, '%d+') == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return 1
