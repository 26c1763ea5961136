#!lua flags=allow-oom
-- Become the instance that shows a question of delivery one.
-- KEYS: question, alive
-- ARGV: instance, tenant
-- Returns its body | false when it is settled, unknown, foreign or held by another that lives
local there = redis.call('HMGET', KEYS[1], 'b', 'o', 'h', 't')
if not there[1] or there[2] or there[4] ~= ARGV[2] then
  return false
end
if there[3] and there[3] ~= ARGV[1] then
  local time = redis.call('TIME')
  local until_then = redis.call('ZSCORE', KEYS[2], there[3])
  if until_then and tonumber(until_then) > time[1] + time[2] / 1000000 then
    return false
  end
end
redis.call('HSET', KEYS[1], 'h', ARGV[1])
return there[1]
