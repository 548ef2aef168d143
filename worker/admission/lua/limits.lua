-- Rate limits: a token bucket for each kind of a limit group, corrected by the headers of every reply.
local KEPT, MOST_KEPT, KEPT_HALF_LIFE, LATE, SURPLUS, DOUBLES, MOST_SLOW = 0.01, 0.1, 600, 30, 0.3, 73, 219
-- Return the speed at the endpoint, up to 1. A ramp limit halves the speed.
local function speed() return math.min(1, 2 ^ ((NOW - endpoint.full_speed_at) / DOUBLES)) end
local function size_of(bucket) return bucket.limit > 0 and bucket.limit or math.huge end
-- Each waiting job reserves its tokens, once, until the job returns, steps down or is late.
local function leave_line(group, place)
  local needs = read(place).needs
  if needs == 0 then return false end
  for i, bucket in ipairs(group.buckets) do bucket.reserved = math.max(0, bucket.reserved - needs[i]) end
  take_out('line:' .. group.name, place)
  return true
end
local function join_line(group, place, needs, wait)
  for i, bucket in ipairs(group.buckets) do bucket.reserved = bucket.reserved + needs[i] end
  read(place).needs = needs
  line_up('line:' .. group.name, place, NOW + wait + LATE)
end
local function state(of, limit) of.tokens, of.limit = math.min(of.limit == 0 and limit or of.tokens, limit), limit end
local function load_group(name)
  local buckets = { { kind = 'requests' }, { kind = 'input' }, { kind = 'output' } }
  local group = read('group:' .. name, { at = NOW, name = name, buckets = buckets })
  for i, bucket in ipairs(group.buckets) do
    setmetatable(bucket, ZERO)
    if i == 1 and words.stated and bucket.known == 0 then state(bucket, number('stated')) end
    bucket.tokens = math.min(size_of(bucket), bucket.tokens + math.max(0, NOW - group.at) * bucket.limit / 60 * speed())
  end
  group.at = NOW
  for _, place in ipairs(overdue('line:' .. name)) do leave_line(group, place) end
  return group
end
-- More is kept for urgent requests for a while after a 429: somebody else may use this key.
local function kept_share(group) return math.max(KEPT, recent(group, 'kept', KEPT_HALF_LIFE)) end
-- Return the seconds until every kind has enough, the slowest bucket, and how many requests fit within the horizon.
local function wait_for_tokens(group, needs, is_urgent, may_take_reserved)
  local longest, slowest, fit = math.max(0, group.closed_until - NOW), nil, math.huge
  for i, bucket in ipairs(group.buckets) do
    local rate, kept = bucket.limit / 60 * speed(), is_urgent and 0 or kept_share(group) * bucket.limit
    local need = math.min(needs and needs[i] or math.max(1, bucket.mean), bucket.limit - kept)
    local wait = (need + kept - bucket.tokens + (may_take_reserved and 0 or bucket.reserved)) / rate
    if rate > 0 and wait > longest then longest, slowest = wait, bucket end
    if rate > 0 then fit = math.min(fit, (bucket.tokens - kept + number('horizon_s') * rate) / need) end
  end
  return longest, slowest, fit
end
-- Drift is all that changes tokens but taking and dripping: headers are compared without drift.
local function move(bucket, amount)
  bucket.tokens, bucket.drift = math.min(size_of(bucket), bucket.tokens + amount), bucket.drift + amount
end
-- Headers are the provider's own count. Output in flight may be counted already, or not yet.
local function correct(bucket, limit, remaining, ticket, i)
  if bucket.known == 0 then move(bucket, remaining - bucket.tokens) end
  bucket.limit, bucket.known = limit, 1
  local least = ticket and ticket.seen[i] + bucket.drift or bucket.tokens
  local most = ticket and least + (bucket.kind == 'output' and ticket.held or 0) or math.huge
  if remaining < least then move(bucket, remaining - least)
  elseif remaining > most and speed() == 1 then move(bucket, SURPLUS * (remaining - most)) end
end
-- The forecast that was taken becomes the usage, where the usage is known. Return whether a kind had too little left.
local function settle(group, ticket)
  local is_used_up = false
  for i, bucket in ipairs(group.buckets) do
    local limit, remaining = number(bucket.kind .. '_limit'), number(bucket.kind .. '_remaining')
    if ticket then move(bucket, ticket.needs[i] - (tonumber(words[bucket.kind]) or ticket.needs[i])) end
    if limit > 0 then
      correct(bucket, limit, remaining, ticket, i)
      is_used_up = is_used_up or (ticket and remaining < ticket.needs[i])
    end
  end
  return is_used_up
end
-- A 429 closes its group until its retry-after. Requests that left before the last 429 came are part of that one.
local function close_group(group, left_at)
  if left_at >= group.kept_at then
    local kept = math.min(MOST_KEPT, kept_share(group) * 1.5)
    group.closed_times, group.kept, group.kept_at = group.closed_times + 1, kept, NOW
  end
  local rest = tonumber(words.retry_after_s) or math.min(60, 2 ^ (group.closed_times - 1))
  group.closed_until = math.max(group.closed_until, NOW + rest)
end
