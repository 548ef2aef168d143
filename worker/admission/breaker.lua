-- Circuit breakers, of each model and of the key: while one is open a single probe at a time may pass.
local PROBE_SHARE, MOST_PROBE = 0.1, 60 -- an outage is probed again after a tenth of its length, at most a minute
local LEAST_FAILURES, KEY_REFUSALS, KEY_KNOWN_S = 2.5, 3, 60 -- three, a little faded; a key that answered lately is refused by a streak alone
local SLOW_TIMES, SLOW_MS, SLOW_SAMPLES, PROBE_TIMES = 3, 5000, 20, 2 -- p95 against its normal; a probe against it
local AROUND, READ_SHARE = 50, 0.01 -- the work of a call beside writing, and of a token read, in tokens written
local MOST_AGAIN, FAILED_MS = 10, 3600000 -- jobs that may fail again, each by its own fault; how long that is known
local KNOWS_KEY = { well = true, limited = true, ramped = true, missing = true }

-- Return when this job last failed here by a server error, which may be the fault of its own request.
local function failed_key(model_name, job) return PREFIX .. 'failed:' .. model_name .. ':' .. job end

-- A job that fails again between good ends of others tells of itself; many such jobs tell of the model.
local function is_own_fault(model, failed_at)
  if not failed_at or model.opened_at > 0 or faded(model.goods, model.observed_at, WINDOW) < 0.5 then return false end
  if tonumber(failed_at) < model.good_at then model.again = model.again + 1 end
  return model.again <= MOST_AGAIN
end

-- Return nil where the breaker is closed, 'probe' where this request may test it, else the denial.
local function ask_breaker(owner, reason, failed_at)
  if owner.opened_at == 0 then return nil end
  local next_at = owner.next_probe_at + (failed_at and PROBE_EVERY or 0)
  local wait = math.max(next_at - NOW, owner.probe_until > NOW and math.min(PROBE_EVERY, 1) or 0)
  if wait <= 0 then return 'probe' end
  return { 'denied', reason, string.format('%.3f', wait), 'kind', owner.kind, 'for_s', figure(NOW - owner.opened_at),
    'failures', figure(owner.streak) }
end

-- Opened on the word of one job alone (doubt), it may be probed by another job at once.
local function trip(owner, kind, is_again, interval)
  owner.opened_at, owner.kind, owner.probe, owner.probe_until, owner.doubt = NOW, kind, '', 0, is_again and 1 or 0
  owner.next_probe_at = NOW + (is_again and 0 or interval)
end

local function reset(owner) owner.opened_at, owner.closed_at, owner.probe, owner.streak = 0, NOW, '', 0 end

-- A model that is back starts with half of its healthy concurrency, and reaches all of it in a round trip.
local function reset_model(model)
  local good = math.max(FIRST, model.good_concurrency)
  reset(model)
  model.goods, model.failures, model.pushbacks, model.short, model.cut_at = 0, 0, 0, model.long, 0
  model.concurrency_limit, model.slow_start_threshold = math.max(FIRST, good / 2), good
end

-- Probes are spread by their ticket: fleets that share nothing do not ask in step.
local function put_off(model, is_again)
  local sum = 0
  for i = 1, #words.ticket do sum = (sum * 31 + string.byte(words.ticket, i)) % 1009 end
  local wait = math.max(PROBE_EVERY, math.min(MOST_PROBE, PROBE_SHARE * (NOW - model.opened_at))) * (1 + sum / 10090)
  model.next_probe_at = NOW + (not is_again and wait or model.doubt == 1 and 0 or PROBE_EVERY)
  if not is_again then model.doubt = 0 end
end

-- Return the time for each token of a call's work, and whether p95 of it is far above its normal.
local function learn_pace(model, latency, used)
  local work = AROUND + used.output + READ_SHARE * (used.input or 0)
  local pace = latency / work
  local function p95(known, step) -- up by 19 parts, down by one
    return known == 0 and pace or math.max(1, known + known * step * (pace > known and 0.95 or -0.05))
  end
  model.latency = model.latency == 0 and latency or model.latency + (latency - model.latency) * 0.1
  model.samples = math.min(50, model.samples + 1)
  model.short, model.long = p95(model.short, 0.2), p95(model.long, 1 / model.samples)
  local is_slow = model.short > SLOW_TIMES * model.long and (model.short - model.long) * work > SLOW_MS
  return pace, is_slow and model.samples >= SLOW_SAMPLES
end

-- Return 'opened' or 'closed' where the breaker changed. An open breaker believes its probe alone.
local function update_breaker(model, result, pace, is_slow, is_again)
  if model.opened_at > 0 then
    if model.probe ~= '=' .. words.ticket then return '' end
    model.probe, model.probe_until = '', 0
    if result == 'not_sent' or result == 'key_refused' then return '' end
    local is_failure = FAILING[result] or (model.kind == 'slow' and pace > PROBE_TIMES * model.long)
    if is_failure then put_off(model, is_again) else reset_model(model) end
    return is_failure and '' or 'closed'
  end
  local is_share = model.failures >= LEAST_FAILURES and model.failures >= model.goods
  if FAILING[result] and (result == 'missing' or is_share or is_streak(model, STREAK)) then
    trip(model, result, is_again, PROBE_EVERY)
  elseif result == 'well' and is_slow then
    trip(model, 'slow', false, PROBE_EVERY)
  end
  return model.opened_at > 0 and 'opened' or ''
end

-- A key that answers others is not refused: return 'key_works' where a refusal is the request's own.
local function update_key(result, taken_at)
  local is_probe, is_open = fleet.probe == '=' .. words.ticket, fleet.opened_at > 0
  if is_probe then fleet.probe, fleet.probe_until = '', 0 end
  if KNOWS_KEY[result] and (is_probe or not is_open) then
    if is_open then reset(fleet) end
    end_streak(fleet, taken_at)
    fleet.known_at = NOW
  elseif result == 'key_refused' and (is_probe or (not is_open and taken_at >= fleet.closed_at)) then
    extend_streak(fleet, taken_at)
    if is_probe then fleet.next_probe_at = NOW + KEY_PAUSE
    elseif NOW - fleet.known_at < KEY_KNOWN_S and not is_streak(fleet, KEY_REFUSALS) then return 'key_works'
    else trip(fleet, result, false, KEY_PAUSE) end
  end
  return ''
end
