-- One step of a store of caps. KEYS[1] is the prefix; ARGV[1] names the step. Redis runs a script alone.
-- window:KEY is a hash of used, held, rest, about. hold:REQUEST is a hash of amounts by window, and lost.
-- holds is a sorted set of requests by expiry.
local prefix = KEYS[1]
local step = ARGV[1]

local function window(key) return prefix .. 'window:' .. key end
local function hold(request) return prefix .. 'hold:' .. request end

local function balance(key)
  local found = redis.call('HMGET', window(key), 'used', 'held', 'rest')
  return tonumber(found[1] or '0'), tonumber(found[2] or '0'), tonumber(found[3] or '0')
end

local function whole(number) return string.format('%.0f', number) end

local function add(key, used, held, rest)
  redis.call('HINCRBY', window(key), 'used', whole(used))
  redis.call('HINCRBY', window(key), 'held', whole(held))
  redis.call('HINCRBY', window(key), 'rest', whole(rest))
end

if step == 'hold' then
  local request, expires_at = ARGV[2], ARGV[3]
  local fits, answer = 1, { 1 }
  local known = redis.call('EXISTS', hold(request)) == 1
  for at = 4, #ARGV, 5 do
    local used, held, rest = balance(ARGV[at])
    local limit = tonumber(ARGV[at + 2])
    if limit >= 0 and used + held >= limit then fits = 0 end
    for _, number in ipairs({ used, held, rest }) do answer[#answer + 1] = whole(number) end
  end
  if known then return answer end
  answer[1] = fits
  if fits == 0 then return answer end
  for at = 4, #ARGV, 5 do
    add(ARGV[at], 0, tonumber(ARGV[at + 1]), 0)
    redis.call('HSETNX', window(ARGV[at]), 'about', ARGV[at + 4])
    redis.call('EXPIRE', window(ARGV[at]), ARGV[at + 3])
    redis.call('HSET', hold(request), 'w:' .. ARGV[at], ARGV[at + 1])
  end
  redis.call('ZADD', prefix .. 'holds', expires_at, request)
  return answer
end

if step == 'settle' then
  local request, charges, answer = ARGV[2], {}, {}
  for at = 3, #ARGV, 3 do charges[ARGV[at]] = { tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]) } end
  local amounts = redis.call('HGETALL', hold(request))
  local lost = redis.call('HEXISTS', hold(request), 'lost') == 1
  for at = 1, #amounts, 2 do
    if amounts[at] ~= 'lost' then
      local key, amount = string.sub(amounts[at], 3), tonumber(amounts[at + 1])
      if redis.call('EXISTS', window(key)) == 1 then
        local charge = charges[key] or { 0, 0 }
        local used, held, rest = balance(key)
        if lost then add(key, charge[1] - amount, 0, charge[2]) else add(key, charge[1], -amount, charge[2]) end
        answer[#answer + 1] = key
        for _, number in ipairs({ used, held, rest, balance(key) }) do answer[#answer + 1] = whole(number) end
      end
    end
  end
  redis.call('DEL', hold(request))
  redis.call('ZREM', prefix .. 'holds', request)
  return answer
end

if step == 'renew' then
  for at = 3, #ARGV do redis.call('ZADD', prefix .. 'holds', 'XX', ARGV[2], ARGV[at]) end
  return {}
end

if step == 'sweep' then
  local now, kept, answer = tonumber(ARGV[2]), tonumber(ARGV[3]), {}
  for _, request in ipairs(redis.call('ZRANGE', prefix .. 'holds', '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[4])) do
    local amounts = redis.call('HGETALL', hold(request))
    for at = 1, #amounts, 2 do
      local key, amount = string.sub(amounts[at], 3), tonumber(amounts[at + 1])
      if redis.call('EXISTS', window(key)) == 1 then
        add(key, amount, -amount, 0)
        for _, word in ipairs({ request, key, whole(amount) }) do answer[#answer + 1] = word end
      end
    end
    redis.call('HSET', hold(request), 'lost', 1)
    redis.call('EXPIRE', hold(request), kept)
    redis.call('ZREM', prefix .. 'holds', request)
  end
  return answer
end

if step == 'arm' then
  local key, seconds, now = prefix .. 'armed:' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
  local start = tonumber(redis.call('GET', key))
  if not start or start + seconds <= now then
    start = now
    redis.call('SET', key, whole(start), 'EX', whole(seconds + 86400))
  end
  return { whole(start) }
end

return redis.error_reply('unknown step')
