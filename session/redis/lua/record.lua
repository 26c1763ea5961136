#!lua
-- Append entries to a record, unless they are in it: their batch may be sent twice.
-- KEYS: the record, the last batch of this instance in it
-- ARGV: batch, about how many entries are kept, seconds the batch is remembered, entries
if tonumber(redis.call('GET', KEYS[2]) or 0) >= tonumber(ARGV[1]) then
  return 0
end
for at = 4, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[at])
end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[3])
return #ARGV - 3
