#!lua
-- Count a session for accounts, unless one of them has as many as it may.
-- KEYS: the accounts. ARGV: session, most that are looked at, seconds that an account is kept,
--       the limit of each account
-- Returns {-1}, or {which account is full, sessions of it that were not looked at for longest}
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
for i, key in ipairs(KEYS) do
  if redis.call('ZCARD', key) >= tonumber(ARGV[3 + i]) and not redis.call('ZSCORE', key, ARGV[1]) then
    local oldest = redis.call('ZRANGE', key, 0, ARGV[2] - 1)
    for _, session in ipairs(oldest) do
      redis.call('ZADD', key, now, session)
    end
    return {i - 1, unpack(oldest)}
  end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now, ARGV[1])
  redis.call('EXPIRE', key, ARGV[3])
end
return {-1}
