-- The turnstile: whether a request may leave, decided in one step for the whole fleet (Turnstile in turnstile.py).
-- Redis runs it, and while Redis is away each worker does, on its own memory. All times are seconds.
-- KEYS[1]: what every key begins with. ARGV[1]: ask, tell, rooms or recovered. ARGV[2]: the time, '' for the host's.

local PREFIX, COMMAND, NOW = KEYS[1], ARGV[1], tonumber(ARGV[2])
if not NOW then
  local time = redis.call('TIME')
  NOW = tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local KINDS = { 'requests', 'input', 'output' }
local PROBE_EVERY, KEY_PAUSE = tonumber(ARGV[3]), tonumber(ARGV[4])
local PROBE_SHARE, MOST_PROBE = 0.1, 60 -- an outage is looked at again after a tenth of its length, at most a minute
local EVIDENCE, EVIDENCE_HALF_LIFE = 3, 10 -- so many failures open a cooldown
local STREAK, STREAK_SHARE = 5, 0.75 -- and so many, were there good ends between them
local HEADROOM, MOST_HEADROOM, HEADROOM_HALF_LIFE = 0.01, 0.1, 600 -- of each limit, kept for urgent requests
local IN_HAND = 1.0 -- the longest wait that is granted with what it waits for
local FIRST_CAP, MOST_CAP, STEP = 8, 1000, 2 -- calls in flight for one model; in slow start each good end adds a step
local RETRY_SHARE, RETRY_BURST, RETRY_WINDOW = 0.1, 10, 60
local FORGET_MS = 86400000
local UNKEPT_S = 600 -- a promise that nobody comes for is forgotten about so fast
local SLOW_TIMES, SLOW_MS, SLOW_SAMPLES = 3, 5000, 20 -- a p95 so many times its normal, and so much above it
local PROBE_TIMES = 2 -- a probe that is so many times slower than normal finds the model still slow
local AROUND, READ_SHARE = 50, 0.01 -- what a call takes beside writing, and reading a token, in tokens written

local FAILING = { overloaded = true, server_error = true, timed_out = true, unreachable = true, missing = true }
local MOST_FAILED = 1000 -- jobs remembered for each model
local MOST_AGAIN = 10 -- jobs that may fail again, each by its own fault, before one ends well
local KEY_KNOWN = { well = true, limited = true, ramped = true, missing = true }
local CUTS = { limited = 0.5, overloaded = 0.5, server_error = 0.7 }

-- State is in hashes of numbers and words; what is not there is 0.
local function read(name)
  local key, fields = PREFIX .. name, {}
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do fields[flat[i]] = tonumber(flat[i + 1]) or flat[i + 1] end
  return setmetatable(fields, { __index = function() return 0 end }), key
end

local function save(fields, key)
  local flat = {}
  for name, value in pairs(fields) do
    flat[#flat + 1] = name
    flat[#flat + 1] = type(value) == 'number' and string.format('%.6f', value) or value
  end
  if #flat == 0 then return end
  redis.call('HSET', key, unpack(flat))
  redis.call('PEXPIRE', key, FORGET_MS)
end

local fleet, fleet_key = read('fleet')

-- After a ramp limit everything goes at half speed, and a tenth faster every ten seconds.
local function ramp()
  if fleet.ramp == 0 then return 1 end
  return math.min(1, fleet.ramp * 1.1 ^ ((NOW - fleet.ramped_at) / 10))
end

-- A group's buckets, filled up to now. `level` is what the provider should have left; `promises` counts those who wait
-- and were told when to come back: newcomers are judged by what is left when each of them has taken a mean request.
local function load_group(name)
  local group, key = read('group:' .. name)
  local passed = group.at == 0 and 0 or math.max(0, NOW - group.at)
  for _, kind in ipairs(KINDS) do
    local limit = group[kind .. '_limit']
    if limit > 0 then
      local gained = passed * limit / 60 * ramp()
      group[kind .. '_level'] = math.min(limit, group[kind .. '_level'] + gained)
    end
  end
  group.promises = group.promises * (1 - math.min(1, passed / UNKEPT_S))
  group.at = NOW
  return group, key
end

-- More is kept for a while where a 429 came all the same: somebody else uses this key.
local function headroom(group)
  return math.max(HEADROOM, group.headroom * 0.5 ^ ((NOW - group.closed_at) / HEADROOM_HALF_LIFE))
end

local function move(group, kind, amount)
  group[kind .. '_level'] = group[kind .. '_level'] + amount
  group[kind .. '_moved'] = group[kind .. '_moved'] + amount
end

local function load_model(name)
  local model, key = read('model:' .. name)
  if model.cap == 0 then model.cap, model.threshold = FIRST_CAP, MOST_CAP end
  return model, key
end

-- A ticket is what was taken, and the levels seen after it: what a reply's headers are held against.
local function take_back(ticket)
  local text = redis.call('HGET', PREFIX .. 'tickets', ticket)
  if not text then return nil end
  redis.call('HDEL', PREFIX .. 'tickets', ticket)
  local values = {}
  for value in string.gmatch(text, '%S+') do values[#values + 1] = tonumber(value) or value end
  return {
    at = values[1], requests = 1, input = values[2], output = values[3], held_before = values[4],
    seen = { requests = values[5], input = values[6], output = values[7] },
    moved = { requests = values[8], input = values[9], output = values[10] }, job = values[11],
  }
end

local function in_flight(model_name)
  return redis.call('ZCOUNT', PREFIX .. 'flight:' .. model_name, '(' .. string.format('%.6f', NOW), '+inf')
end

local function drop_lost(model_name, group) -- tickets whose workers died, or never told
  local key = PREFIX .. 'flight:' .. model_name
  for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', string.format('%.6f', NOW))) do
    redis.call('ZREM', key, ticket)
    local lost = take_back(ticket)
    if lost then group.output_held = math.max(0, group.output_held - lost.output) end
  end
end

local function later(why, wait, ...)
  return { 'later', why, string.format('%.3f', math.max(0, wait)), ... }
end

local function figure(number) return string.format('%.6g', number) end

-- The shortest time until every kind has what is needed, and what takes longest. Those who waited, and the urgent,
-- are judged by what is there; newcomers by what is not promised to others.
local function wait_for_limits(group, needs, is_urgent, has_waited)
  local longest, slowest = math.max(0, group.closed_until - NOW), 'retry-after'
  for _, kind in ipairs(KINDS) do
    local limit = group[kind .. '_limit']
    if limit > 0 then
      local kept = is_urgent and 0 or headroom(group) * limit
      local promised = (has_waited or is_urgent) and 0 or group.promises * group[kind .. '_mean']
      local there = group[kind .. '_level'] - promised
      local wait = (math.min(needs[kind], limit - kept) + kept - there) * 60 / (limit * ramp())
      if wait > longest then longest, slowest = wait, kind end
    end
  end
  return longest, slowest
end

local function count_requests()
  local kept = math.exp(-math.max(0, NOW - fleet.counted_at) / RETRY_WINDOW)
  fleet.requests, fleet.retries, fleet.counted_at = fleet.requests * kept, fleet.retries * kept, NOW
end

local function key_answer() -- nil: the key may be used, 'probe': by this one alone
  if fleet.key_until == 0 then return nil end
  if NOW < fleet.key_until then return later('paused', fleet.key_until - NOW) end
  if NOW < fleet.key_probe_until then return later('paused', math.min(PROBE_EVERY, fleet.key_probe_until - NOW)) end
  return 'probe'
end

-- When a job's last call of this model was answered by an error that may be the fault of its own request; else false.
local function has_failed(model_name, job) return redis.call('HGET', PREFIX .. 'failed:' .. model_name, job) end

local function remember(model_name, job, how)
  local key = PREFIX .. 'failed:' .. model_name
  if how ~= 'server_error' then
    redis.call('HDEL', key, job)
    return
  end
  if redis.call('HLEN', key) >= MOST_FAILED then redis.call('DEL', key) end
  redis.call('HSET', key, job, string.format('%.6f', NOW))
  redis.call('PEXPIRE', key, FORGET_MS)
end

local function model_answer(model, model_name, job)
  if model.opened_at == 0 then return nil end
  local next_at = job and has_failed(model_name, job) and model.next_probe_at or model.next_new_at
  local wait = math.max(next_at - NOW, model.probe_until - NOW > 0 and math.min(PROBE_EVERY, 1) or 0)
  if wait <= 0 then return 'probe' end
  local for_s = figure(NOW - model.opened_at)
  return later('cooling', wait, 'kind', model.kind, 'for_s', for_s, 'failures', figure(model.run))
end

local function cap_now(model) return math.max(1, math.floor(model.cap * ramp() ^ 2)) end

local function ask(ticket, model_name, group_name, input, output, hold, patience, is_urgent, is_retry, has_waited,
  job)
  local key = key_answer()
  if type(key) == 'table' then return key end
  local model, model_key = load_model(model_name)
  local probe = model_answer(model, model_name, job)
  if type(probe) == 'table' then return probe end
  local group, group_key = load_group(group_name)
  count_requests()
  if is_retry and fleet.retries + 1 > RETRY_SHARE * fleet.requests + RETRY_BURST then
    return later('retries_spent', 0, 'retries', figure(fleet.retries), 'requests', figure(fleet.requests))
  end
  local needs = { requests = 1, input = input, output = output }
  local function turn_away(wait) -- who will be back is promised what it needs; who was, and will not, gives it up
    if (wait <= patience) ~= has_waited then
      group.promises = math.max(0, group.promises + (has_waited and -1 or 1))
      save(group, group_key)
    end
  end
  local flying, cap = in_flight(model_name), cap_now(model)
  local allowed = is_urgent and cap + math.max(1, math.floor(cap / 10)) or cap
  if flying >= allowed and not probe then
    local lasts = model.latency > 0 and model.latency / 1000 or 1
    if not has_waited then -- those turned away before it, less those that got in since: each call that ends lets one in
      model.turned = math.max(0, model.turned - math.max(0, NOW - model.turned_at) * cap / lasts) + 1
      model.turned_at = NOW
      save(model, model_key)
    end
    local turns = (has_waited and 1 or model.turned) / cap
    if model.cap < model.threshold then turns = math.log(1 + STEP * turns) / math.log(1 + STEP) end -- each lets more in
    local wait = math.max(0.02, lasts * turns)
    turn_away(wait)
    return later('full', wait, 'in_flight', figure(flying), 'cap', figure(cap))
  end
  local wait, kind = wait_for_limits(group, needs, is_urgent or probe, has_waited)
  if wait > IN_HAND then
    turn_away(wait)
    if kind == 'retry-after' then return later('limited', wait, 'limit', kind) end
    return later('limited', wait, 'limit', kind, 'left', figure(group[kind .. '_level']), 'needs', figure(needs[kind]),
      'per_minute', figure(group[kind .. '_limit']))
  end
  drop_lost(model_name, group)
  local words = { string.format('%.6f', NOW), input, output, group.output_held }
  for _, each in ipairs(KINDS) do
    group[each .. '_level'] = group[each .. '_level'] - needs[each]
    local mean = group[each .. '_mean']
    group[each .. '_mean'] = mean == 0 and needs[each] or mean + (needs[each] - mean) * 0.05
    words[#words + 1] = group[each .. '_level'] + wait * group[each .. '_limit'] / 60
  end
  if has_waited then group.promises = math.max(0, group.promises - 1) end
  for _, each in ipairs(KINDS) do words[#words + 1] = group[each .. '_moved'] end
  local signed = { job, model_name, group_name, ARGV[15] } -- for whoever finds its worker lost
  for _, each in ipairs(signed) do words[#words + 1] = each end
  group.output_held = group.output_held + output
  redis.call('HSET', PREFIX .. 'tickets', ticket, table.concat(words, ' '))
  redis.call('PEXPIRE', PREFIX .. 'tickets', FORGET_MS)
  redis.call('ZADD', PREFIX .. 'flight:' .. model_name, NOW + hold, ticket)
  redis.call('PEXPIRE', PREFIX .. 'flight:' .. model_name, FORGET_MS)
  fleet.requests = fleet.requests + 1
  if is_retry then fleet.retries = fleet.retries + 1 end
  if key then fleet.key_probe, fleet.key_probe_until = '=' .. ticket, NOW + math.min(hold, KEY_PAUSE) end
  if probe then model.probe, model.probe_until = '=' .. ticket, NOW + hold end
  if model.streak > 0 then model.left = model.left + 1 end
  save(group, group_key)
  save(model, model_key)
  save(fleet, fleet_key)
  return { 'go', string.format('%.3f', math.max(0, wait)), (probe or key) and '1' or '0' }
end

-- `next_new_at`: when a job that has not failed here may probe. On one job's word alone (`doubt`) it may at once.
local function open(model, kind, is_again)
  model.opened_at, model.kind, model.probe, model.probe_until = NOW, kind, '', 0
  model.doubt = is_again and 1 or 0
  model.next_probe_at, model.next_new_at = NOW + PROBE_EVERY, is_again and NOW or NOW + PROBE_EVERY
end

local function close(model, model_name)
  model.opened_at, model.closed_at, model.run, model.fails, model.probe, model.probe_until = 0, NOW, 0, 0, '', 0
  model.streak = 0
  model.cap, model.threshold = math.max(FIRST_CAP, model.good_cap / 2), math.max(FIRST_CAP, model.good_cap)
  model.short = model.long
  fleet.recovered = (fleet.recovered == 0 and '' or fleet.recovered) .. model_name .. ' '
end

-- p95 by steps: up by 19 parts where a latency is above it, down by one where it is below.
local function p95(known, latency, step)
  if known == 0 then return latency end
  return math.max(1, known + known * step * (latency > known and 0.95 or -0.05))
end

-- A pace is the time a call took for each token written, all else it did counted as such: long answers are not slow.
local function work(input, output) return AROUND + output + READ_SHARE * (input or 0) end

local function is_slow(model, done)
  local above = model.short - model.long
  return model.samples >= SLOW_SAMPLES and model.short > SLOW_TIMES * model.long and above * done > SLOW_MS
end

-- From 1 to 1.1, by the ticket: fleets that share nothing do not ask in step.
local function spread(ticket)
  local sum = 0
  for i = 1, #ticket do sum = (sum * 31 + string.byte(ticket, i)) % 1009 end
  return 1 + sum / 10090
end

-- Good ends of calls that left before a failure did are old news. A streak is of those that have left since it began:
-- most of them, or the others only take longer to end well.
local function is_streak(model) return model.streak >= STREAK and model.streak >= STREAK_SHARE * (model.left + 1) end

local function faded(model) return 0.5 ^ (math.max(0, NOW - model.judged_at) / EVIDENCE_HALF_LIFE) end

-- A job that fails again where others end well tells of itself, not of the model; more than a few do of the model.
local function is_its_own(model, failed_at)
  if not failed_at or model.opened_at > 0 or model.goods * faded(model) < 0.5 then return false end
  if tonumber(failed_at) < model.good_at then model.again = model.again + 1 end
  return model.again <= MOST_AGAIN
end

-- A probe that fails its job again lets a job that has not failed here be the next.
local function put_off(model, ticket, is_again)
  local wait = math.min(MOST_PROBE, math.max(PROBE_EVERY, PROBE_SHARE * (NOW - model.opened_at))) * spread(ticket)
  if not is_again then model.doubt = 0 end
  model.next_probe_at = NOW + wait
  model.next_new_at = NOW + (not is_again and wait or model.doubt == 0 and PROBE_EVERY or 0)
end

-- Whether the model is still in rotation; '' where that has not changed.
local function judge(model, model_name, ticket, how, pace, done, taken_at, is_again)
  local is_probe = model.opened_at > 0 and model.probe == '=' .. ticket
  local is_failure = FAILING[how] or (is_probe and model.kind == 'slow' and pace > PROBE_TIMES * model.long)
  if model.opened_at > 0 then
    if not is_probe then return '' end -- it left before this began, or it says nothing of what is now
    model.probe, model.probe_until = '', 0
    if is_failure then
      put_off(model, ticket, is_again)
    elseif how ~= 'not_sent' and how ~= 'key_refused' then
      close(model, model_name)
      return 'closed'
    end
    return ''
  end
  if how == 'not_sent' or how == 'key_refused' or taken_at < model.closed_at then return '' end
  local kept = faded(model)
  model.fails, model.goods, model.judged_at = model.fails * kept, model.goods * kept, NOW
  if is_failure then
    model.run, model.fails = model.run + 1, model.fails + 1
    if model.streak == 0 then model.left = 0 end
    model.streak, model.failed_at = model.streak + 1, math.max(model.failed_at, taken_at)
    if how == 'missing' or model.run >= EVIDENCE or is_streak(model)
      or (model.fails >= EVIDENCE and model.fails >= model.goods) then
      open(model, how, is_again)
      return 'opened'
    end
    return ''
  end
  model.run, model.goods, model.again, model.good_at = 0, model.goods + 1, 0, NOW
  if taken_at > model.failed_at then model.streak = 0 end
  if model.fails < 0.5 then model.good_cap = model.cap end -- and not what the onset of an outage has cut it to
  if how ~= 'well' or not is_slow(model, done) then return '' end
  open(model, 'slow')
  return 'opened'
end

local function grow_or_cut(model, how, flying, taken_at)
  local share = CUTS[how]
  if share and taken_at > model.cut_at then
    model.cap, model.cut_at = math.max(1, model.cap * share), NOW
    model.threshold = model.cap
  elseif how == 'well' and flying + 1 >= model.cap / 2 then
    model.cap = math.min(MOST_CAP, model.cap + (model.cap < model.threshold and ramp() == 1 and STEP or 1 / model.cap))
  end
end

-- What was taken becomes what was used; what nobody knows stays as it was taken.
local function settle(group, taken, how, used)
  local gives_all = how == 'not_sent' or how == 'limited' or how == 'ramped' or how == 'unreachable'
  for _, kind in ipairs(KINDS) do
    local back = gives_all and taken[kind] or used[kind] and taken[kind] - used[kind] or 0
    if not gives_all and not used[kind] and kind == 'output' and how ~= 'timed_out' then back = taken.output end
    move(group, kind, back)
  end
end

-- The provider's own count. Each call in flight would tell the same difference: what moved since is no news.
-- Output is taken when it has been written: anything between all and nothing of what was being written is right, too.
local function correct(group, taken, kind, limit, remaining)
  local known = group[kind .. '_limit'] > 0
  if not known or not taken then
    local level = known and math.min(group[kind .. '_level'], remaining) or remaining
    group[kind .. '_limit'], group[kind .. '_level'] = limit, level
    return
  end
  group[kind .. '_limit'] = limit
  local low = taken.seen[kind] + group[kind .. '_moved'] - taken.moved[kind]
  local high = kind == 'output' and low + taken.held_before + taken.output or low
  local off = remaining < low and remaining - low or remaining > high and ramp() == 1 and (remaining - high) * 0.3 or 0
  move(group, kind, off)
  group[kind .. '_level'] = math.min(limit, group[kind .. '_level'])
end

-- A 429. Those that left before the last one told are part of it.
local function close_group(group, limits, retry_after, taken_at)
  local scarcest, least = nil, 1
  for _, kind in ipairs(KINDS) do
    local left = limits[kind] and limits[kind][2] / limits[kind][1] or 1
    if left < least then scarcest, least = kind, left end
  end
  if scarcest then move(group, scarcest, math.min(0, -group[scarcest .. '_level'])) end
  if taken_at >= group.closed_at then
    group.headroom = math.min(MOST_HEADROOM, headroom(group) * 1.5)
    group.closed_times, group.closed_at = group.closed_times + 1, NOW
  end
  local wait = retry_after or math.min(60, 2 ^ (group.closed_times - 1))
  group.closed_until = math.max(group.closed_until, NOW + wait)
end

-- Only calls that left after the key was refused, or was known again, tell how it is now.
local function judge_key(ticket, how, taken_at)
  if fleet.key_probe == '=' .. ticket then fleet.key_probe, fleet.key_probe_until = '', 0 end
  if taken_at < fleet.key_since then return end
  if how == 'key_refused' then
    fleet.key_until, fleet.key_since = NOW + KEY_PAUSE, NOW
  elseif fleet.key_until > 0 and KEY_KNOWN[how] then
    fleet.key_until, fleet.key_since = 0, NOW
  end
end

local function tell(ticket, model_name, group_name, how, latency, input, output, retry_after, limits)
  local model, model_key = load_model(model_name)
  local group, group_key = load_group(group_name)
  local taken = take_back(ticket)
  redis.call('ZREM', PREFIX .. 'flight:' .. model_name, ticket)
  if taken then
    group.output_held = math.max(0, group.output_held - taken.output)
    settle(group, taken, how, { input = input, output = output })
  end
  for _, kind in ipairs(KINDS) do
    if limits[kind] then correct(group, taken, kind, limits[kind][1], limits[kind][2]) end
  end
  if not taken then -- told before, or let through by another's memory: it says nothing more
    save(group, group_key)
    return { '' }
  end
  local taken_at = taken.at
  if how == 'limited' or how == 'ramped' then close_group(group, limits, retry_after, taken_at) end
  if how == 'well' and taken_at > group.closed_at then group.closed_times = 0 end
  if how == 'ramped' and taken_at >= fleet.ramped_at then
    fleet.ramp, fleet.ramped_at = math.max(0.05, ramp() / 2), NOW
  end
  judge_key(ticket, how, taken_at)
  local done, pace = work(input, output or 0), 0
  if how == 'well' and output and latency > 0 then
    pace = latency / done
    model.latency = model.latency == 0 and latency or model.latency + (latency - model.latency) * 0.1
    model.samples = math.min(50, model.samples + 1)
    model.short, model.long = p95(model.short, pace, 0.2), p95(model.long, pace, 1 / model.samples)
  end
  local failed_at = how == 'server_error' and has_failed(model_name, taken.job)
  if how ~= 'not_sent' and how ~= 'key_refused' then remember(model_name, taken.job, how) end
  local changed = ''
  if not is_its_own(model, failed_at) then
    grow_or_cut(model, how, in_flight(model_name), taken_at)
    changed = judge(model, model_name, ticket, how, pace, done, taken_at, failed_at ~= false)
  end
  if changed == 'opened' then group.promises = 0 end -- who comes back finds it cooling, and gives nothing up
  save(group, group_key)
  save(model, model_key)
  save(fleet, fleet_key)
  return { changed }
end

-- How many requests could leave; -1: none, until it is back.
local function room(model_name, group_name, horizon)
  local key = key_answer()
  local model = load_model(model_name)
  local group = load_group(group_name)
  local probe = model_answer(model)
  if type(key) == 'table' or type(probe) == 'table' or group.closed_until > NOW then return -1 end
  if key or probe then return 1 end
  local cap = cap_now(model)
  local free = cap - in_flight(model_name)
  if model.latency > 0 then free = free + cap * horizon * 1000 / model.latency end
  for _, kind in ipairs(KINDS) do
    local limit, mean = group[kind .. '_limit'], math.max(1, group[kind .. '_mean'])
    if limit > 0 then
      local there = group[kind .. '_level'] + limit / 60 * horizon * ramp() - headroom(group) * limit
      free = math.min(free, there / mean)
    end
  end
  return math.max(0, math.floor(free))
end

if COMMAND == 'ask' then
  return ask(ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]),
    ARGV[12] == '1', ARGV[13] == '1', ARGV[14] == '1', ARGV[16])
elseif COMMAND == 'tell' then
  local limits = {}
  for i = 13, #ARGV, 3 do limits[ARGV[i]] = { tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]) } end
  return tell(ARGV[5], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]),
    tonumber(ARGV[12]), limits)
elseif COMMAND == 'rooms' then
  local found = {}
  for i = 6, #ARGV, 2 do found[#found + 1] = tostring(room(ARGV[i], ARGV[i + 1], tonumber(ARGV[5]))) end
  return found
end
local names = fleet.recovered == 0 and '' or fleet.recovered
if names ~= '' then
  fleet.recovered = ''
  save(fleet, fleet_key)
end
return { names }
