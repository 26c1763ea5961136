#!lua
-- Use a receipt, once: the same attempt may try again, as when its reply was lost.
-- KEYS: the receipt. ARGV: attempt, seconds that the use is remembered
local first = redis.call('GET', KEYS[1])
if first then
  return first == ARGV[1] and 1 or 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
