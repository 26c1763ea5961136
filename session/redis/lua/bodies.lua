#!lua flags=no-writes
-- Return questions as they are stored, each with its answers and notes; false for what there is not.
-- KEYS: questions
local bodies = {}
for at, key in ipairs(KEYS) do
  bodies[at] = redis.call('HMGET', key, 'b', 'v', 'w')
end
return bodies
