#!lua flags=allow-oom
-- Say how many slots of a limit an instance uses, and how many it has from now on.
-- KEYS: the account, alive
-- ARGV: instance, limit, used, needed, reserve, seconds for which a newcomer is taken to live,
--       seconds for which what a dead instance used counts on, seconds that the account is kept
-- Returns how many it has. `pool.leases.SlotPool` does the same, and says why.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local limit, used, needed = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local others_granted, others_used, own = 0, 0, 0
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local holder = fields[i]
  -- Granted, used, and when that was said; of what was left behind, when it ends to count.
  local g, u, at = string.match(fields[i + 1], '^(%S+) (%S+) (%S+)$')
  g, u, at = tonumber(g), tonumber(u), tonumber(at)
  if holder == ARGV[1] then
    own = g
    g, u = 0, 0
  elseif string.sub(holder, 1, 1) == '~' then
    if at <= now then
      redis.call('HDEL', KEYS[1], holder)
      g, u = 0, 0
    end
  elseif at + ARGV[6] <= now then
    local until_when = redis.call('ZSCORE', KEYS[2], holder)
    if not until_when or tonumber(until_when) <= now then
      redis.call('HDEL', KEYS[1], holder)
      g = 0
      if u > 0 and tonumber(ARGV[7]) > 0 then
        g = u
        redis.call('HSET', KEYS[1], '~' .. holder, u .. ' ' .. u .. ' ' .. (now + ARGV[7]))
      else
        u = 0
      end
    end
  end
  others_granted = others_granted + g
  others_used = others_used + u
end
local taken = used
if needed > 0 and others_used + used + needed <= limit then
  taken = used + needed
end
local spare = limit - others_granted - taken
local granted = taken + math.min(tonumber(ARGV[5]), math.max(spare, own - taken, 0))
if granted > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], granted .. ' ' .. taken .. ' ' .. now)
  redis.call('EXPIRE', KEYS[1], ARGV[8])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return granted
