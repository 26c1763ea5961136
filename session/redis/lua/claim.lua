#!lua
-- Make a frontend's id somebody's, or find that it is another's.
-- KEYS: the claim. ARGV: the subject, seconds.
local whose = redis.call('GET', KEYS[1])
if whose and whose ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
