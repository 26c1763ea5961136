#!lua flags=allow-oom
-- Take tokens of a rate: what is needed or nothing, and some more if they are there.
-- KEYS: the account. ARGV: tokens a second, tokens of a full bucket, needed, extra
-- Returns {granted, seconds to wait, left}, as texts. `pool.leases.TokenPool` does the same.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local needed, extra = tonumber(ARGV[3]), tonumber(ARGV[4])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local available = burst - (full_at - now) * rate
local least = needed > 0 and math.min(needed, burst) or math.min(1, extra)
-- Half a microsecond is lost each time that a time is written.
if available + 0.000001 * math.max(rate, 1) < least then
  return {'0', tostring((least - available) / rate), tostring(math.max(available, 0))}
end
local granted = needed + math.floor(math.max(0, math.min(extra, available - needed) + 0.000001))
if granted > 0 then
  full_at = full_at + granted / rate
  local kept = math.ceil((full_at - now) * 1000) + 1
  redis.call('SET', KEYS[1], string.format('%.6f', full_at), 'PX', kept)
end
return {tostring(granted), '0', tostring(math.max(available - granted, 0))}
