-- State: the words of a command, and records in JSON, whose absent fields are 0. All times are seconds.
-- KEYS[1] begins every key. ARGV: command, time ('' is the host's), probe interval, key pause, then name, value, ...
local PREFIX, COMMAND, PROBE_EVERY, KEY_PAUSE = KEYS[1], ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local FORGET_MS, time = 86400000, redis.call('TIME')
local NOW = math.floor((tonumber(ARGV[2]) or time[1] + time[2] / 1e6) * 1e4 + 0.5) / 1e4 -- JSON keeps 14 digits
local words, records, ZERO = {}, {}, { __index = function() return 0 end }
for i = 5, #ARGV, 2 do words[ARGV[i]] = ARGV[i + 1] end
local function number(name) return tonumber(words[name]) or 0 end
local function read(name, new)
  local text = not records[name] and redis.call('GET', PREFIX .. name)
  records[name] = records[name] or setmetatable(text and cjson.decode(text) or new or {}, ZERO)
  return records[name]
end
local function save_all()
  for name, fields in pairs(records) do
    if next(fields) then redis.call('SET', PREFIX .. name, cjson.encode(fields), 'PX', FORGET_MS) end
  end
end
-- A line is a sorted set of records, each by the time until which it counts: requests in flight, or jobs that wait.
local function line_up(line, name, until_at)
  redis.call('ZADD', PREFIX .. line, until_at, name)
  redis.call('PEXPIRE', PREFIX .. line, FORGET_MS)
end
local function take_out(line, name)
  records[name] = nil
  redis.call('ZREM', PREFIX .. line, name)
  redis.call('DEL', PREFIX .. name)
end
local function overdue(line) return redis.call('ZRANGEBYSCORE', PREFIX .. line, '-inf', string.format('%.4f', NOW)) end
-- A count fades: an event of one half-life ago is half an event. A mean follows a tenth of each new value.
local function recent(owner, name, life) return owner[name] * 0.5 ^ (math.max(0, NOW - owner[name .. '_at']) / life) end
local function count(owner, name, life) owner[name], owner[name .. '_at'] = recent(owner, name, life) + 1, NOW end
local function moved(mean, value) return mean == 0 and value or mean + 0.1 * (value - mean) end
-- The endpoint of the call's model: its key, its ramp, its outage. A model without a prefix is at the usual API.
local function load_endpoint(model) return read('endpoint:' .. (model:match('^([^/]+)/') or 'anthropic')) end
local endpoint = load_endpoint(words.model or '')
