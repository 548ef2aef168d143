-- Circuit breakers, of each endpoint and of each model: evidence opens one, and then a single probe at a time may pass.
local STREAK, STREAK_SHARE, LEAST_FAILURES, KEY_REFUSALS, KEY_KNOWN = 5, 0.75, 2.5, 3, 60
local PROBE_SHARE, MOST_INTERVAL, MOST_ALONE = 0.1, 60, 150
local OUTAGE_STREAK, OUTAGE_WITHIN = 2, 60
local OUTAGE = 'outage'
local function is_out(owner) return owner.opened_at > 0 and owner.kind == OUTAGE end
-- One failure is noise: a streak tells, or a share of the window. Good ends of what left before are old news.
local function observe(owner, is_failure, is_pushback, left_at)
  local kinds = { failures = is_failure, pushbacks = is_pushback, goods = not is_failure and not is_pushback }
  for name, is_so in pairs(kinds) do if is_so then count(owner, name, WINDOW) end end
  if not kinds.goods then owner.streak, owner.failed_at = owner.streak + 1, math.max(owner.failed_at, left_at)
  elseif left_at > owner.failed_at then owner.streak, owner.left = 0, 0 end
end
-- A streak is most of the requests that left since its first failure.
local function is_streak(owner, least) return owner.streak >= math.max(least, STREAK_SHARE * (owner.left + 1)) end
-- Return the seconds until a request may pass. A job that failed here before lets others probe first.
local function wait_for_probe(owner)
  if owner.opened_at == 0 then return 0 end
  local due_at = owner.next_probe_at + (words.is_again and owner.interval or 0)
  return math.max(0, due_at - NOW, owner.probe_until > NOW and math.min(PROBE_EVERY, 1) or 0)
end
-- Open a breaker, or keep it open. A job that failed here before may tell of itself: others may probe at once.
local function trip(owner, kind, interval)
  owner.interval, owner.probe_until, owner.next_probe_at = interval, 0, NOW + (words.is_again and 0 or interval)
  if owner.opened_at > 0 then return '' end
  owner.opened_at, owner.kind = NOW, kind
  return 'opened'
end
-- An open breaker believes its probes alone: the requests that left since it opened.
local function end_probe(owner, left_at, is_failure, is_good, interval)
  if left_at <= owner.opened_at then return '' end
  owner.probe_until = 0
  if is_failure then return trip(owner, owner.kind, interval) elseif not is_good then return '' end
  owner.opened_at, owner.closed_at, owner.goods_at, owner.streak = 0, NOW, NOW, 0
  return 'closed'
end
-- The dead are probed less and less. Fractions of a second spread the probes of fleets that share nothing.
local function next_interval(owner)
  return math.max(PROBE_EVERY, math.min(MOST_INTERVAL, PROBE_SHARE * (NOW - owner.opened_at))) * (1 + NOW % 1 / 10)
end
local function update_model(model, group, left_at, flying)
  if model.opened_at > 0 then
    local is_failure = words.is_failure or (words.is_slow and model.kind == 'slow')
    local change = end_probe(model, left_at, is_failure, words.knows_model, next_interval(model))
    if change == 'closed' then restart(model) end
    return change
  end
  if not words.knows_model or words.is_own_fault or left_at < model.closed_at then return '' end
  observe(model, words.is_failure, words.is_pushback, left_at)
  update_concurrency(model, group, left_at, flying)
  local is_half = recent(model, 'failures', WINDOW) >= math.max(LEAST_FAILURES, recent(model, 'goods', WINDOW))
  local is_out = words.is_failure and (is_half or is_streak(model, STREAK) or words.result == 'missing')
  return (is_out or words.is_slow) and trip(model, words.is_slow and 'slow' or words.result, PROBE_EVERY) or ''
end
-- In a chain with other endpoints, one is out that nobody reaches, or that has no second model, or whose second model
-- fails while the first is out.
local function is_outage(model)
  local other, is_open = endpoint.failing, model.opened_at > 0
  local is_second = other ~= 0 and other ~= words.model and NOW - endpoint.failing_at <= OUTAGE_WITHIN
  if is_open and not is_second then endpoint.failing, endpoint.failing_at = words.model, NOW end
  if is_open and (number('rungs') == 1 or words.result == 'unreachable') then return true end
  return is_second and (is_open or model.streak >= OUTAGE_STREAK)
end
local function update_outage(model, left_at)
  local is_failure = words.is_failure and words.result ~= 'missing'
  if is_out(endpoint) then
    local is_good = words.knows_model or words.result == 'key_refused'
    return end_probe(endpoint, left_at, is_failure, is_good, next_interval(endpoint))
  end
  if words.knows_model and not is_failure and endpoint.failing == words.model then endpoint.failing = nil end
  local is_news = is_failure and endpoint.opened_at == 0 and left_at > endpoint.closed_at and number('rungs') > 0
  return is_news and is_outage(model) and trip(endpoint, OUTAGE, PROBE_EVERY) or ''
end
-- A key that answers others is not refused: return 'key_works' where a refusal is the request's own.
local function update_key(left_at)
  local is_refused, is_known = words.result == 'key_refused', NOW - endpoint.goods_at < KEY_KNOWN
  if endpoint.opened_at > 0 then return end_probe(endpoint, left_at, is_refused, words.knows_key, KEY_PAUSE) end
  if not (is_refused or words.knows_key) or left_at < endpoint.closed_at then return '' end
  observe(endpoint, is_refused, false, left_at)
  if is_refused and is_known and not is_streak(endpoint, KEY_REFUSALS) then return 'key_works' end
  return is_refused and trip(endpoint, 'key_refused', KEY_PAUSE) or ''
end
-- Return the change of the endpoint's breaker: of an outage for all, of a key that works for the request.
local function update_endpoint(model, left_at)
  local was_out = is_out(endpoint)
  local change = update_outage(model, left_at)
  if change ~= '' then return 'endpoint_' .. change end
  return not was_out and update_key(left_at) == 'key_works' and 'key_works' or ''
end
