#!lua
-- Add one person's answer to a question that several answer, once.
-- KEYS: question. ARGV: tenant, who it is, the answer, most answers
-- Returns {'1' when it is there now, answers} | {'', answers, outcome} | false when there is no question
local there = redis.call('HMGET', KEYS[1], 't', 'o', 'v')
if there[1] ~= ARGV[1] then
  return false
end
local lines = there[3] or ''
if there[2] then
  return {'', lines, there[2]}
end
local line = ARGV[2] .. ' ' .. ARGV[3] .. '\n'
local all = '\n' .. lines
if string.find(all, '\n' .. ARGV[2] .. ' ', 1, true) then
  -- The same one: the reply to its first copy was lost.
  return {string.find(all, '\n' .. line, 1, true) and '1' or '', lines}
end
local _, count = string.gsub(lines, '\n', '')
if count >= tonumber(ARGV[4]) then
  return {'', lines}
end
redis.call('HSET', KEYS[1], 'v', lines .. line)
return {'1', lines .. line}
