#!lua
-- Note who was shown questions that are open.
-- KEYS: questions. ARGV: most bytes of notes, then what to add to each
for at, key in ipairs(KEYS) do
  local there = redis.call('HMGET', key, 'l', 'o', 'w')
  if there[1] and not there[2] then
    local lines = (there[3] or '') .. ARGV[at + 1]
    if #lines <= tonumber(ARGV[1]) then
      redis.call('HSET', key, 'w', lines)
    end
  end
end
return 1
