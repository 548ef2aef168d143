-- Concurrency: how many calls of one model may be in flight (AIMD). It follows shares of pushback, never one event.
local FIRST, MOST, STEP, GROWTH, WINDOW, SUPPOSED_S = 16, 1000, 2, 0.1, 10, 10
local CUT, CUT_SHARE, CUT_LEAST, CALM_SHARE = 0.7, 0.2, 2.5, 0.1
local function load_model(name)
  return read('model:' .. name, { concurrency_limit = FIRST, slow_start_threshold = MOST })
end
local function latency_s(model) return model.latency > 0 and model.latency / 1000 or 1 end
-- A model that nobody called yet begins as Little's law allows, where its group's requests limit is known.
local function limit_now(model, group)
  local known = model.latency + model.cut_at == 0 and group.buckets[1].limit / 60 * SUPPOSED_S or 0
  return math.max(1, math.floor(math.max(model.concurrency_limit, math.min(MOST, known)) * speed() ^ 2))
end
-- Return the seconds until so many waiting requests have had their turn. In slow start each good end lets more in.
local function wait_for_place(model, limit, waiting)
  local turns, is_slow_start = waiting / limit, limit < model.slow_start_threshold
  return math.max(0.02, latency_s(model) * (is_slow_start and math.log(1 + STEP * turns) / math.log(1 + STEP) or turns))
end
-- Calm round trips that use the limit raise it, or at once by Little's law. Pushback cuts it, once a round trip.
local function update_concurrency(model, group, left_at, flying)
  local pushbacks, goods = recent(model, 'pushbacks', WINDOW), recent(model, 'goods', WINDOW)
  local share, limit = pushbacks / math.max(1, pushbacks + goods), model.concurrency_limit
  local may_cut = left_at > model.cut_at and NOW >= model.cut_at + latency_s(model)
  if words.is_pushback and may_cut and pushbacks >= CUT_LEAST and share >= CUT_SHARE then
    limit = math.max(1, math.min(limit, flying + 1) * CUT)
    model.slow_start_threshold, model.cut_at = limit, NOW
  elseif words.is_answer and share < CALM_SHARE then
    if flying + 1 >= limit / 2 then limit = limit + (limit < model.slow_start_threshold and STEP or GROWTH) end
    if speed() == 1 then limit = math.max(limit, group.buckets[1].limit / 60 * latency_s(model)) end
    model.good_concurrency = math.min(MOST, limit)
  end
  model.concurrency_limit = math.min(MOST, limit)
end
-- A model that is back starts with half of its healthy concurrency, and reaches all of it in a round trip.
local function restart(model)
  local good = math.max(FIRST, model.good_concurrency)
  model.goods, model.failures, model.pushbacks, model.cut_at = 0, 0, 0, 0
  model.concurrency_limit, model.slow_start_threshold = math.max(FIRST, good / 2), good
end
