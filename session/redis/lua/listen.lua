#!lua flags=allow-oom
-- Note who listens for a session, and read of which resources it wants to hear; what one has
-- left that has ended goes. A listener is kept as its order and until when it counts.
-- KEYS: session, subscriptions, listening
-- ARGV: seconds subscriptions are kept, listener, its order or 0 for where its stream opened,
--       microseconds it counts, microseconds since its stream opened
-- Returns its order, whether it is the latest, whether there are others, whether they are to
-- hear of it, and the URIs; nothing if there is no such session
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('DEL', KEYS[2], KEYS[3])
  return false
end
redis.call('EXPIRE', KEYS[2], ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local order = tonumber(ARGV[3])
local before, latest, whose, others = nil, 0, '', 0
local counts = now + ARGV[4]
local known = redis.call('HGETALL', KEYS[3])
local kept = counts
for at = 1, #known, 2 do
  local theirs, ends = string.match(known[at + 1], '(%d+) (%d+)')
  theirs, ends = tonumber(theirs), tonumber(ends)
  if known[at] == ARGV[2] then
    before = theirs
  elseif ends <= now then
    redis.call('HDEL', KEYS[3], known[at])
  else
    others = others + 1
    kept = math.max(kept, ends)
    if theirs > latest or (theirs == latest and known[at] > whose) then
      latest, whose = theirs, known[at]
    end
  end
end
if order == 0 then
  local age = tonumber(ARGV[5])
  order = now - age
  if age < 100000 then
    -- It opens now, and is the latest though this clock may be behind the one before a failover.
    order = math.max(order, latest + 1)
  end
end
redis.call('HSET', KEYS[3], ARGV[2], string.format('%.0f %.0f', order, counts))
redis.call('EXPIRE', KEYS[3], math.ceil((kept - now) / 1000000))
local tells = order > latest or (order == latest and ARGV[2] > whose)
local is_news = others > 0 and before ~= order
local heard = {order, tells and 1 or 0, others > 0 and 1 or 0, is_news and 1 or 0}
for _, uri in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  heard[#heard + 1] = uri
end
return heard
