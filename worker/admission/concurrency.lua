-- Concurrency: how many calls of one model may be in flight. It follows shares of pushback, never one event (AIMD).
local FIRST, MOST, STEP, GROWTH = 8, 1000, 2, 0.1 -- calls; what each good end adds in slow start, and above it
local CUT, CUT_SHARE, CUT_LEAST, CALM_SHARE = 0.7, 0.2, 2.5, 0.1 -- of the ends in the window; calm is below the last

local function load_model(name)
  local model = read('model:' .. name)
  if model.concurrency_limit == 0 then model.concurrency_limit, model.slow_start_threshold = FIRST, MOST end
  return model
end

local function limit_now(model) return math.max(1, math.floor(model.concurrency_limit * ramp() ^ 2)) end
local function latency_s(model) return model.latency > 0 and model.latency / 1000 or 1 end

-- Return the seconds until so many waiting requests have had their turn; in slow start each good end lets more in.
local function wait_for_place(model, limit, waiting)
  local turns = waiting / limit
  if limit < model.slow_start_threshold then turns = math.log(1 + STEP * turns) / math.log(1 + STEP) end
  return math.max(0.02, latency_s(model) * turns)
end

-- A calm round trip triples the limit up to the slow-start threshold, and beyond it adds a tenth. A known requests
-- limit raises it at once to all calls that can be in flight (Little's law). Pushback cuts, once a round trip.
local function update_concurrency(model, group, result, flying, taken_at)
  local share, limit = model.pushbacks / math.max(1, model.pushbacks + model.goods), model.concurrency_limit
  local may_cut = taken_at > model.cut_at and NOW >= model.cut_at + latency_s(model)
  if PUSHBACK[result] and may_cut and model.pushbacks >= CUT_LEAST and share >= CUT_SHARE then
    limit = math.max(1, math.min(limit, flying + 1) * CUT)
    model.slow_start_threshold, model.cut_at = limit, NOW
  elseif result == 'well' and share < CALM_SHARE then
    if flying + 1 >= limit / 2 then limit = limit + (limit < model.slow_start_threshold and STEP or GROWTH) end
    if ramp() == 1 then limit = math.max(limit, group.requests_limit / 60 * latency_s(model)) end
    model.good_concurrency = math.min(MOST, limit)
  end
  model.concurrency_limit = math.min(MOST, limit)
end
