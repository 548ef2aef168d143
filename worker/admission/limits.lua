-- Rate limits: a token bucket for each kind of a limit group, held against the headers of every reply.
local HEADROOM, MOST_HEADROOM, HEADROOM_HALF_LIFE = 0.01, 0.1, 600 -- share of each limit, kept for urgent requests
local LATE = 30 -- a waiting job that is so late loses its place in the line

-- Return the speed from 0 to 1: a ramp limit halves it, and each ten seconds raise it by a tenth.
local function ramp()
  return fleet.ramp == 0 and 1 or math.min(1, fleet.ramp * 1.1 ^ ((NOW - fleet.ramped_at) / 10))
end

-- More is kept for a while after a 429 that the buckets did not foresee: somebody else uses this key.
local function kept_share(group) return math.max(HEADROOM, faded(group.headroom, group.closed_at, HEADROOM_HALF_LIFE)) end

local function move(group, kind, amount)
  group[kind .. '_tokens'] = group[kind .. '_tokens'] + amount
  group[kind .. '_drift'] = group[kind .. '_drift'] + amount
end

-- The line: each waiting job reserves its own tokens, once, until it returns, steps down or is late.
local function leave_line(group, job)
  local reserved = redis.call('HGET', PREFIX .. 'reserved:' .. group.name, job)
  if not reserved then return false end
  redis.call('HDEL', PREFIX .. 'reserved:' .. group.name, job)
  redis.call('ZREM', PREFIX .. 'line:' .. group.name, job)
  local kinds = {}
  for amount in string.gmatch(reserved, '%S+') do
    kinds[#kinds + 1] = KINDS[#kinds + 1] .. '_reserved'
    group[kinds[#kinds]] = math.max(0, group[kinds[#kinds]] - tonumber(amount))
  end
  return true
end

local function join_line(group, job, needs, wait)
  for _, kind in ipairs(KINDS) do group[kind .. '_reserved'] = group[kind .. '_reserved'] + needs[kind] end
  redis.call('HSET', PREFIX .. 'reserved:' .. group.name, job, '1 ' .. needs.input .. ' ' .. needs.output)
  redis.call('ZADD', PREFIX .. 'line:' .. group.name, NOW + wait + LATE, job)
  for _, name in ipairs({ 'reserved:', 'line:' }) do redis.call('PEXPIRE', PREFIX .. name .. group.name, FORGET_MS) end
end

local function load_group(name)
  local group = read('group:' .. name)
  local passed = group.at == 0 and 0 or math.max(0, NOW - group.at)
  for _, kind in ipairs(KINDS) do
    local limit, tokens = group[kind .. '_limit'], group[kind .. '_tokens']
    if limit > 0 then group[kind .. '_tokens'] = math.min(limit, tokens + passed * limit / 60 * ramp()) end
  end
  group.at, group.name = NOW, name
  local late = redis.call('ZRANGEBYSCORE', PREFIX .. 'line:' .. name, '-inf', string.format('%.6f', NOW))
  for _, job in ipairs(late) do leave_line(group, job) end
  return group
end

-- Return the seconds until every kind has enough, and the slowest kind. A request larger than its limit needs a full
-- bucket. Reserved tokens are for jobs that return and for urgent ones.
local function wait_for_tokens(group, needs, is_urgent, may_take_reserved)
  local longest, slowest = math.max(0, group.closed_until - NOW), 'retry-after'
  for _, kind in ipairs(KINDS) do
    local limit = group[kind .. '_limit']
    local kept = is_urgent and 0 or kept_share(group) * limit
    local there = group[kind .. '_tokens'] - (may_take_reserved and 0 or group[kind .. '_reserved'])
    local wait = (math.min(needs[kind], limit - kept) + kept - there) * 60 / (limit * ramp())
    if limit > 0 and wait > longest then longest, slowest = wait, kind end
  end
  return longest, slowest
end

-- Return how many mean requests the buckets let through within a horizon, by the same rule as wait_for_tokens.
local function tokens_for(group, horizon)
  local free = math.huge
  for _, kind in ipairs(KINDS) do
    local limit = group[kind .. '_limit']
    local kept, gained = kept_share(group) * limit, limit / 60 * horizon * ramp()
    local mean = math.min(math.max(1, group[kind .. '_mean']), limit - kept)
    if limit > 0 then free = math.min(free, (group[kind .. '_tokens'] + gained - kept) / mean) end
  end
  return free
end

-- The forecast becomes the usage; an unknown usage stays at its forecast. The mean usage sizes the capacity.
local function settle(group, taken, result, used)
  local gives_all = result == 'not_sent' or result == 'limited' or result == 'ramped' or result == 'unreachable'
  if used.input then group.samples = group.samples + 1 end
  for _, kind in ipairs(KINDS) do
    local unknown = kind == 'output' and result ~= 'timed_out' and taken.output or 0
    move(group, kind, gives_all and taken[kind] or used[kind] and taken[kind] - used[kind] or unknown)
    local mean = group[kind .. '_mean']
    if used[kind] then group[kind .. '_mean'] = mean + (used[kind] - mean) * math.max(0.05, 1 / group.samples) end
  end
end

-- The headers are the provider's own count; tokens that moved since the request left are no difference. Output is
-- counted while it is written: any amount between none and all of the output in flight is right.
local function correct(group, taken, kind, limit, remaining)
  local tokens, is_known = group[kind .. '_tokens'], group[kind .. '_limit'] > 0
  group[kind .. '_limit'] = limit
  if not is_known or not taken then
    group[kind .. '_tokens'] = is_known and math.min(tokens, remaining) or remaining
    return
  end
  local low = taken.seen[kind] + group[kind .. '_drift'] - taken.drift[kind]
  local high = kind == 'output' and low + taken.held_before + taken.output or low
  if remaining < low then move(group, kind, remaining - low) end
  if remaining > high and ramp() == 1 then move(group, kind, (remaining - high) * 0.3) end
  group[kind .. '_tokens'] = math.min(limit, group[kind .. '_tokens'])
end

-- A 429 closes its group until its retry-after. Requests that left before the last 429 came are part of that one.
local function close_group(group, used_up, retry_after, taken_at)
  if used_up then move(group, used_up, math.min(0, -group[used_up .. '_tokens'])) end
  if taken_at >= group.closed_at then
    group.headroom = math.min(MOST_HEADROOM, kept_share(group) * 1.5)
    group.closed_times, group.closed_at = group.closed_times + 1, NOW
  end
  group.closed_until = math.max(group.closed_until, NOW + (retry_after or math.min(60, 2 ^ (group.closed_times - 1))))
end
