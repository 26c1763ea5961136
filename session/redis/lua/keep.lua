#!lua
-- Return what is kept, or keep this.
-- KEYS: where. ARGV: what
local there = redis.call('GET', KEYS[1])
if there then
  return there
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
