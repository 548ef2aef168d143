-- State: the command's words, and hashes in which an absent field is 0. All times are seconds.
-- KEYS[1] begins every key. ARGV: command, time ('' is the host's), probe interval, key pause, then name, value, ...
local PREFIX, COMMAND, NOW = KEYS[1], ARGV[1], tonumber(ARGV[2])
local PROBE_EVERY, KEY_PAUSE, FORGET_MS = tonumber(ARGV[3]), tonumber(ARGV[4]), 86400000
local KINDS = { 'requests', 'input', 'output' }
if not NOW then
  local time = redis.call('TIME')
  NOW = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local words, hashes = {}, {}
for i = 5, #ARGV, 2 do words[ARGV[i]] = ARGV[i + 1] end
local function number(name) return tonumber(words[name]) end

local function read(name)
  local fields, flat = {}, redis.call('HGETALL', PREFIX .. name)
  for i = 1, #flat, 2 do fields[flat[i]] = tonumber(flat[i + 1]) or flat[i + 1] end
  hashes[PREFIX .. name] = fields
  return setmetatable(fields, { __index = function() return 0 end })
end

local function save_all()
  for key, fields in pairs(hashes) do
    local flat = {}
    for name, value in pairs(fields) do
      flat[#flat + 1] = name
      flat[#flat + 1] = type(value) == 'number' and string.format('%.6f', value) or value
    end
    if #flat > 0 then
      redis.call('HSET', key, unpack(flat))
      redis.call('PEXPIRE', key, FORGET_MS)
    end
  end
end

local function faded(amount, since, half_life) return amount * 0.5 ^ (math.max(0, NOW - since) / half_life) end
local function figure(amount) return string.format('%.6g', amount) end
local fleet = read('fleet')
