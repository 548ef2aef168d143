-- Admission: acquire, release and capacity, each in one step for the whole fleet.
local IN_HAND = 1.0 -- the longest wait that is granted together with its tokens
local RETRY_SHARE, RETRY_BURST, RETRY_WINDOW = 0.1, 10, 60

-- A ticket is what a request took, and the tokens seen after it: the measure for its reply's headers.
local function take_back(group, ticket)
  local text = redis.call('HGET', PREFIX .. 'tickets', ticket)
  if not text then return nil end
  redis.call('HDEL', PREFIX .. 'tickets', ticket)
  local v = {}
  for value in string.gmatch(text, '%S+') do v[#v + 1] = tonumber(value) or value end
  group.output_held = math.max(0, group.output_held - v[3])
  return { at = v[1], requests = 1, input = v[2], output = v[3], held_before = v[4], job = v[11],
    seen = { requests = v[5], input = v[6], output = v[7] }, drift = { requests = v[8], input = v[9], output = v[10] } }
end

local function in_flight(model_name, group) -- tickets whose workers died are dropped
  local key = PREFIX .. 'flight:' .. model_name
  for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', string.format('%.6f', NOW))) do
    redis.call('ZREM', key, ticket)
    take_back(group, ticket)
  end
  return redis.call('ZCARD', key)
end

local function take(group, needs, wait)
  local text, flight = { string.format('%.6f', NOW), needs.input, needs.output, group.output_held }, PREFIX .. 'flight:'
  for _, kind in ipairs(KINDS) do
    group[kind .. '_tokens'] = group[kind .. '_tokens'] - needs[kind]
    text[#text + 1] = group[kind .. '_tokens'] + wait * group[kind .. '_limit'] / 60
  end
  for _, kind in ipairs(KINDS) do text[#text + 1] = group[kind .. '_drift'] end
  for _, name in ipairs({ 'job', 'model', 'group', 'worker' }) do text[#text + 1] = words[name] end
  group.output_held = group.output_held + needs.output
  if group.samples == 0 then group.input_mean, group.output_mean = needs.input, needs.output end
  redis.call('HSET', PREFIX .. 'tickets', words.ticket, table.concat(text, ' '))
  redis.call('ZADD', flight .. words.model, NOW + number('hold_s'), words.ticket)
  for _, key in ipairs({ PREFIX .. 'tickets', flight .. words.model }) do redis.call('PEXPIRE', key, FORGET_MS) end
end

-- A throttle is for people: who denies, why, since when, and when it did so last.
local function deny(owner, reason, wait, ...)
  if owner.throttle ~= reason or NOW - owner.throttled_at > 60 then owner.throttled_since = NOW end
  owner.throttle, owner.throttled_at = reason, NOW
  return { 'denied', reason, string.format('%.3f', wait), ... }
end

local function is_retry_denied()
  local kept = math.exp(-math.max(0, NOW - fleet.counted_at) / RETRY_WINDOW)
  fleet.requests, fleet.retries, fleet.counted_at = fleet.requests * kept, fleet.retries * kept, NOW
  return words.is_retry == '1' and fleet.retries + 1 > RETRY_SHARE * fleet.requests + RETRY_BURST
end

local function acquire()
  local model, group, is_urgent = load_model(words.model), load_group(words.group), words.is_urgent == '1'
  local returns = leave_line(group, words.job) or words.has_waited == '1'
  local key_probe = ask_breaker(fleet, 'paused', false)
  if type(key_probe) == 'table' then return key_probe end
  local probe = ask_breaker(model, 'cooling', redis.call('GET', failed_key(words.model, words.job)))
  if type(probe) == 'table' then return probe end
  if is_retry_denied() then
    return deny(fleet, 'retries_spent', 0, 'retries', figure(fleet.retries), 'requests', figure(fleet.requests))
  end
  local needs = { requests = 1 }
  for _, kind in ipairs({ 'input', 'output' }) do
    local limit = group[kind .. '_limit']
    needs[kind] = limit > 0 and math.min(number(kind), limit) or number(kind)
  end
  local flying, limit = in_flight(words.model, group), limit_now(model)
  if flying >= limit + (is_urgent and math.max(1, math.floor(limit / 10)) or 0) and not probe then
    local wait = wait_for_place(model, limit, 1 + (returns and 0 or group.requests_reserved))
    if wait <= number('queue_s') then join_line(group, words.job, needs, wait) end
    return deny(model, 'full', wait, 'in_flight', figure(flying), 'cap', figure(limit))
  end
  local wait, kind = wait_for_tokens(group, needs, is_urgent or probe, returns or is_urgent or probe)
  if wait > IN_HAND then
    if wait <= number('patience_s') then join_line(group, words.job, needs, wait) end
    if kind == 'retry-after' then return deny(group, 'limited', wait, 'limit', kind) end
    return deny(group, 'limited', wait, 'limit', kind, 'left', figure(group[kind .. '_tokens']),
      'needs', figure(number(kind) or 1), 'per_minute', figure(group[kind .. '_limit']))
  end
  take(group, needs, wait)
  fleet.requests, fleet.retries = fleet.requests + 1, fleet.retries + number('is_retry')
  for owner, is_probe in pairs({ [fleet] = key_probe or false, [model] = probe or false }) do
    if is_probe then owner.probe, owner.probe_until = '=' .. words.ticket, NOW + number('hold_s') end
    if owner.streak > 0 then owner.left = owner.left + 1 end
  end
  return { 'granted', string.format('%.3f', math.max(0, wait)), (probe or key_probe) and '1' or '0' }
end

local function release()
  local model, group, result = load_model(words.model), load_group(words.group), words.result
  local taken, used = take_back(group, words.ticket), { input = number('input'), output = number('output') }
  redis.call('ZREM', PREFIX .. 'flight:' .. words.model, words.ticket)
  if taken then settle(group, taken, result, used) end
  local used_up = nil
  for _, kind in ipairs(KINDS) do
    local limit, remaining = number(kind .. '_limit'), number(kind .. '_remaining')
    if limit then correct(group, taken, kind, limit, remaining) end
    if limit and taken and not used_up and remaining < taken[kind] then used_up = kind end
  end
  if not taken then return { '' } end -- released before, or granted by another's memory: it tells nothing more
  local pace, is_slow, failed = 0, false, failed_key(words.model, taken.job)
  if result == 'well' and used.output and number('latency_ms') > 0 then
    pace, is_slow = learn_pace(model, number('latency_ms'), used)
  end
  local key_change, model_change = update_key(result, taken.at), ''
  local failed_at = result == 'server_error' and redis.call('GET', failed)
  if result == 'server_error' then redis.call('SET', failed, string.format('%.6f', NOW), 'PX', FAILED_MS)
  elseif result ~= 'not_sent' and result ~= 'key_refused' then redis.call('DEL', failed) end
  local is_news = result ~= 'not_sent' and result ~= 'key_refused' and taken.at >= model.closed_at
  if not is_own_fault(model, failed_at) then
    if is_news and model.opened_at == 0 then
      observe(model, result, taken.at)
      update_concurrency(model, group, result, in_flight(words.model, group), taken.at)
    end
    if is_news or model.opened_at > 0 then model_change = update_breaker(model, result, pace, is_slow, failed_at) end
  end
  local is_refusal = used_up or is_streak(model, STREAK) or model.pushbacks >= model.goods
  if result == 'ramped' or (result == 'limited' and is_refusal) then
    close_group(group, used_up, number('retry_after_s'), taken.at)
  end
  if result == 'well' and taken.at > group.closed_at then group.closed_times = 0 end
  if result == 'ramped' and taken.at >= fleet.ramped_at then
    fleet.ramp, fleet.ramped_at = math.max(0.05, ramp() / 2), NOW
  end
  return { key_change ~= '' and key_change or model_change }
end

-- Return how many requests could leave a model within a horizon; -1 where none may until it is back.
local function capacity(model_name, group_name)
  local model, group, horizon = load_model(model_name), load_group(group_name), number('horizon_s')
  local key, probe = ask_breaker(fleet, 'paused', false), ask_breaker(model, 'cooling', false)
  if type(key) == 'table' or type(probe) == 'table' or group.closed_until > NOW then return -1 end
  if key or probe then return 1 end
  local limit, flying = limit_now(model), in_flight(model_name, group)
  local free = math.min(limit - flying + limit * horizon / latency_s(model), tokens_for(group, horizon))
  return math.max(flying == 0 and 1 or 0, math.floor(free))
end

local answer = {}
if COMMAND == 'acquire' then answer = acquire() end
if COMMAND == 'release' then answer = release() end
if COMMAND == 'capacity' then
  for i = 7, #ARGV, 2 do answer[#answer + 1] = tostring(capacity(ARGV[i], ARGV[i + 1])) end
end
save_all()
return answer
