-- Evidence: one failure is noise. A streak, or the share of failures in a window, moves a model, its group or the key.
local STREAK, STREAK_SHARE, WINDOW = 5, 0.75, 10 -- failures; of the requests that left since the first; half-life
local FAILING = { overloaded = true, server_error = true, timed_out = true, unreachable = true, missing = true }
local PUSHBACK = { overloaded = true, server_error = true, limited = true }

local function extend_streak(owner, taken_at)
  if owner.streak == 0 then owner.left = 0 end
  owner.streak, owner.failed_at = owner.streak + 1, math.max(owner.failed_at, taken_at)
end

-- Good ends of requests that left before the failures are old news.
local function end_streak(owner, taken_at)
  if taken_at > owner.failed_at then owner.streak = 0 end
end

local function is_streak(owner, least) return owner.streak >= least and owner.streak >= STREAK_SHARE * (owner.left + 1) end

local function observe(model, result, taken_at)
  for _, name in ipairs({ 'goods', 'failures', 'pushbacks' }) do
    model[name] = faded(model[name], model.observed_at, WINDOW)
  end
  model.observed_at = NOW
  if FAILING[result] then model.failures = model.failures + 1 end
  if PUSHBACK[result] then model.pushbacks = model.pushbacks + 1 end
  if FAILING[result] or PUSHBACK[result] then return extend_streak(model, taken_at) end
  model.goods, model.again, model.good_at = model.goods + 1, 0, NOW
  end_streak(model, taken_at)
end
