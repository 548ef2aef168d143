-- Admission: acquire, release and capacity, each in one step for the whole fleet.
local IN_HAND, QUIET = 1, 60
-- A ticket is the record of a request in flight. Tickets whose workers died are dropped.
local function take_back(group, line, name)
  local ticket = read(name)
  if ticket.at == 0 then return nil end
  group.output_held = math.max(0, group.output_held - ticket.needs[3])
  take_out(line, name)
  return ticket
end
local function in_flight(model_name, group)
  for _, name in ipairs(overdue('flight:' .. model_name)) do take_back(group, 'flight:' .. model_name, name) end
  return redis.call('ZCARD', PREFIX .. 'flight:' .. model_name)
end
-- A request that leaves takes its tokens. Its ticket keeps the tokens it saw, for the headers of its reply.
local function grant(model, group, needs, wait)
  local name, seen, is_probe = 'ticket:' .. words.ticket, {}, 0
  for i, bucket in ipairs(group.buckets) do
    bucket.tokens, bucket.mean = bucket.tokens - needs[i], moved(bucket.mean, needs[i])
    seen[i] = bucket.tokens + wait * bucket.limit / 60 - bucket.drift
  end
  group.output_held = group.output_held + needs[3]
  records[name] = { at = NOW, needs = needs, seen = seen, held = group.output_held, model = words.model,
    group = words.group, worker = words.worker }
  line_up('flight:' .. words.model, name, NOW + number('hold_s'))
  for _, owner in ipairs({ endpoint, model }) do
    owner.left = owner.streak > 0 and owner.left + 1 or 0
    if owner.opened_at > 0 then owner.probe_until, is_probe = NOW + math.min(number('hold_s'), MOST_ALONE), 1 end
  end
  return { 'granted', math.max(0, wait), is_probe }
end
-- A throttle is for people: who denies, why, since when, and when it did so last.
local function deny(owner, reason, wait, figures)
  if owner.throttle ~= reason or NOW - owner.throttled_at > QUIET then owner.throttled_since = NOW end
  owner.throttle, owner.throttled_at, owner.throttle_kind = reason, NOW, figures[2]
  return { 'denied', reason, wait, unpack(figures) }
end
local function acquire()
  local model, group, is_urgent = load_model(words.model), load_group(words.group), words.is_urgent
  local is_probe = model.opened_at > 0 or is_out(endpoint)
  local place, needs, is_first = 'place:' .. words.group .. ':' .. words.job, {}, is_urgent or is_probe
  local returns = leave_line(group, place) or words.has_waited
  for _, owner in ipairs(is_out(endpoint) and { endpoint } or { endpoint, model }) do -- its probe is the model's, too
    local wait, reason = wait_for_probe(owner), owner == endpoint and not is_out(owner) and 'paused' or 'circuit_open'
    local figures = { 'kind', owner.kind, 'for_s', NOW - owner.opened_at, 'failures', owner.streak }
    if wait > 0 then return { 'denied', reason, wait, unpack(figures) } end
  end
  for i, bucket in ipairs(group.buckets) do needs[i] = math.min(number(bucket.kind), size_of(bucket)) end
  local flying, limit = in_flight(words.model, group), limit_now(model, group)
  if flying >= limit + (is_urgent and math.max(1, math.floor(limit / 10)) or 0) and not is_probe then
    local wait = wait_for_place(model, limit, 1 + (returns and 0 or group.buckets[1].reserved))
    if wait <= number('queue_s') then join_line(group, place, needs, wait) end
    return deny(model, 'full', wait, { 'in_flight', flying, 'cap', limit })
  end
  local wait, slowest = wait_for_tokens(group, needs, is_first, returns or is_first)
  if wait <= IN_HAND then return grant(model, group, needs, wait) end
  if wait <= number('patience_s') then join_line(group, place, needs, wait) end
  if not slowest then return deny(group, 'limited', wait, { 'limit', 'retry-after' }) end
  return deny(group, 'limited', wait, { 'limit', slowest.kind, 'left', slowest.tokens, 'per_minute', slowest.limit })
end
local function release()
  local model, group, result = load_model(words.model), load_group(words.group), words.result
  local ticket = take_back(group, 'flight:' .. words.model, 'ticket:' .. words.ticket)
  local is_used_up = settle(group, ticket)
  if not ticket then group.closed_until = math.max(group.closed_until, NOW + number('retry_after_s')) end
  if not ticket then return { '' } end -- released before, or granted by another's memory: only advice to wait counts
  if result == 'well' and number('latency_ms') > 0 then model.latency = moved(model.latency, number('latency_ms')) end
  local change = update_model(model, group, ticket.at, in_flight(words.model, group))
  local is_half = recent(model, 'pushbacks', WINDOW) >= recent(model, 'goods', WINDOW)
  local is_refusal = result == 'limited' and (is_used_up or is_half or is_streak(model, STREAK))
  if result == 'ramped' or is_refusal then close_group(group, ticket.at) end
  if result == 'ramped' and ticket.at >= endpoint.ramped_at then
    local full_at = math.min(NOW + MOST_SLOW, math.max(NOW, endpoint.full_speed_at)) + DOUBLES
    endpoint.ramped_at, endpoint.full_speed_at = NOW, full_at
  end
  if result == 'well' and ticket.at > group.kept_at then group.closed_times = 0 end
  local of_endpoint = update_endpoint(model, ticket.at)
  return { of_endpoint ~= '' and of_endpoint or change }
end
-- Return how many mean requests could leave a model within a horizon; -1 where none may until the model is back.
local function capacity(name, group_name)
  endpoint = load_endpoint(name)
  local model, group = load_model(name), load_group(group_name)
  local wait = wait_for_probe(endpoint) + (is_out(endpoint) and 0 or wait_for_probe(model))
  if group.closed_until > NOW or wait > 0 then return -1 end
  if endpoint.opened_at + model.opened_at > 0 then return 1 end
  local limit, busy, _, _, fit = limit_now(model, group), in_flight(name, group), wait_for_tokens(group, nil, nil, true)
  local free = math.min(limit - busy + limit * number('horizon_s') / latency_s(model), fit)
  return math.max(busy == 0 and 1 or 0, math.floor(free))
end
local answer = ({ acquire = acquire, release = release, capacity = function() return {} end })[COMMAND]()
for i = 7, COMMAND == 'capacity' and #ARGV or 0, 2 do answer[#answer + 1] = capacity(ARGV[i], ARGV[i + 1]) end
save_all()
for i, word in ipairs(answer) do answer[i] = tostring(word) end
return answer
