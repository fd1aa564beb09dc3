-- One exchange between a sidecar and the store, for all walls of one account at once. Whoever asks again with the same number
-- gets the same answer, and nothing is done twice. Owns the format of what is kept; `shared.rs` owns who asks, and when.
--
-- KEYS: the account; what the member was last told; then two for each wall: its counts, its entries.
-- ARGV: member, number, epoch that the member knows ('' for none), a new epoch, and in ms: lease, hold, emergency; then for each wall
--   kind (r, c, n), limit, window (for c: the period's end), grain, start (for c), arrived, age, outstanding, emergency, want (-1: not
--   even a share for emergencies), seen (-1 for none), known (1 or 0).
-- Answers: epoch, live members, whether the member's grants had expired; then for each wall granted, emergency, used, ms to wait (-1: unknown).
--
-- The account (hash): v format, t the latest time, epoch, fresh (nothing is granted before), wiped (when that was noticed),
--   m:ID when a member was last heard.
-- What a member was told (hash): s its last number, a the answer to it.
-- A wall (hash): d spent, p period, b (nothing is known before), w the wipe that b stands for, h:ID and e:ID what a member holds.
-- Its entries (list): 'time at which it no longer counts:cost', in the order of time.

local FORMAT = '1'
local LIVE_MS = 5000        -- a member that was not heard for so long does not count when leases are sized
local PROBATION_MS = 2000   -- how long members that know better have to object to a store that begins anew
local MAX_ENTRIES = 4096    -- as in the sidecar
local SHARES = 4            -- what is left is given away in parts of this many per live member
local EMERGENCIES = 200     -- the shares for emergencies are this part of the limit, all together
local KEPT_MS = 86400000    -- beyond what anything could count

local account, member, number, known_epoch, new_epoch = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local lease, hold, emergency_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

local function int(text) return tonumber(text or '0') or 0 end
local function text(number) return string.format('%.0f', number) end

local function fields(key)
  local flat, found = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local about = fields(account)
if about.v and about.v ~= FORMAT then
  return redis.error_reply('FERRATAFORMAT the store has format ' .. about.v .. ', this release knows ' .. FORMAT)
end
local time = redis.call('TIME')
-- A clock that is set back stands still instead.
local now = math.max(int(time[1]) * 1000 + math.floor(int(time[2]) / 1000), int(about.t))

-- Who is there.
local heard, live = {}, 1
for field, value in pairs(about) do
  local id = string.match(field, '^m:(.+)$')
  if id then
    heard[id] = int(value)
    if id ~= member and now - heard[id] < LIVE_MS then live = live + 1 end
    if now - heard[id] > hold + emergency_ms then
      redis.call('HDEL', account, field)
      heard[id] = nil
    end
  end
end
local expired = 0
if heard[member] and now - heard[member] >= lease then expired = 1 end

local told = fields(KEYS[2])
local last = int(told.s)
if number < last then return redis.error_reply('FERRATASTALE ' .. text(number) .. ' comes after ' .. text(last)) end
if number == last and heard[member] then
  redis.call('HSET', account, 'm:' .. member, text(now), 't', text(now))
  local answer = cmsgpack.unpack(told.a)
  answer[3] = math.max(answer[3], expired)
  return answer
end
heard[member] = now

-- Whether this is the store that the others knew.
local epoch, fresh, wiped = about.epoch, int(about.fresh), int(about.wiped)
if not epoch then
  epoch, fresh = new_epoch, now + PROBATION_MS
  if known_epoch ~= '' then wiped = now end
elseif known_epoch ~= '' and known_epoch ~= epoch and wiped == 0 then
  wiped = now
end

local function enter(list, free_at, cost)
  local newest = redis.call('LINDEX', list, -1)
  if newest then
    local at, sum = string.match(newest, '^(%d+):(%d+)$')
    at, sum = int(at), int(sum)
    if at >= free_at or redis.call('LLEN', list) >= MAX_ENTRIES then
      redis.call('LSET', list, -1, text(math.max(at, free_at)) .. ':' .. text(sum + cost))
      return
    end
  end
  redis.call('RPUSH', list, text(free_at) .. ':' .. text(cost))
end

-- Counts what arrived at some time at the latest; returns what that adds to what is spent.
local function count(wall, cost, arrival)
  if cost <= 0 or wall.kind == 'n' then return 0 end
  if wall.kind == 'c' then return cost end
  local free_at = (math.floor(arrival / wall.grain) + 1) * wall.grain + wall.window
  if free_at <= now then return 0 end
  enter(wall.list, free_at, cost)
  return cost
end

local function forget(wall, spent)
  while true do
    local oldest = redis.call('LINDEX', wall.list, 0)
    if not oldest then return spent end
    local at, cost = string.match(oldest, '^(%d+):(%d+)$')
    if int(at) > now then return spent end
    redis.call('LPOP', wall.list)
    spent = spent - int(cost)
  end
end

-- When at least so much no longer counts; -1 if that depends on what is held.
local function wait_for(wall, excess)
  if wall.kind == 'c' then return math.max(wall.window - now, 1) end
  if wall.kind == 'r' then
    for _, entry in ipairs(redis.call('LRANGE', wall.list, 0, 63)) do
      local at, cost = string.match(entry, '^(%d+):(%d+)$')
      excess = excess - int(cost)
      if excess <= 0 then return int(at) - now end
    end
  end
  return -1
end

-- What the others hold. Those that were not heard for too long have spent it, when their time was over at the latest.
local function held_by_others(wall, counts)
  local held, spent = 0, 0
  for field, value in pairs(counts) do
    local kind, id = string.match(field, '^([he]):(.+)$')
    if kind and id ~= member then
      local ends = now
      if heard[id] then ends = heard[id] + hold + (kind == 'e' and emergency_ms or 0) end
      if ends <= now then
        redis.call('HDEL', wall.key, field)
        spent = spent + count(wall, int(value), ends)
      else
        held = held + int(value)
      end
    end
  end
  return held, spent
end

local function exchange(wall)
  local counts = fields(wall.key)
  local spent, period, blind, seen_wipe = int(counts.d), int(counts.p), int(counts.b), int(counts.w)
  local blind_for = wall.kind == 'c' and wall.window or now + wall.window
  if wall.known and not counts.v then blind = blind_for end
  if wall.kind == 'r' then spent = forget(wall, spent) end
  if wall.kind == 'c' and wall.start > period and now >= wall.start then spent, period = 0, wall.start end
  if wiped > seen_wipe then
    if wall.kind == 'c' then
      if wiped >= period then blind = math.max(blind, wall.window) end
    else
      blind = math.max(blind, wiped + wall.window)
    end
  end
  local held, more = held_by_others(wall, counts)
  spent = spent + more + count(wall, wall.arrived, now - wall.age)
  local used = spent + held + wall.outstanding + wall.emergency
  if wall.seen >= 0 then
    blind = 0
    if wall.seen > used then
      spent = spent + count(wall, wall.seen - used, now)
      used = wall.seen
    end
  end

  local until_known = math.max(blind, fresh)
  local room, granted, reserve, wait = wall.limit - used, 0, 0, -1
  if now < until_known then
    wait = until_known - now
    if now < blind then used = math.max(used, wall.limit) end
  elseif wall.want > 0 and room > 0 then
    granted = math.min(room, math.max(1, math.min(wall.want, math.floor(room / (SHARES * live)))))
  elseif wall.want > 0 then
    wait = wait_for(wall, 1 - room)
  end
  if now >= until_known and wall.want >= 0 and wall.kind ~= 'n' and room - granted > wall.limit / 2 then
    reserve = math.max(0, math.floor(wall.limit / (EMERGENCIES * live)) - wall.emergency)
  end
  used = used + granted + reserve
  redis.call('HSET', wall.key, 'v', FORMAT, 'd', text(spent), 'p', text(period), 'b', text(blind), 'w', text(wiped),
    'h:' .. member, text(wall.outstanding + granted), 'e:' .. member, text(wall.emergency + reserve))
  local kept = (wall.kind == 'c' and math.max(wall.window - now, 0) or wall.window) + hold + emergency_ms + KEPT_MS
  redis.call('PEXPIRE', wall.key, text(kept))
  redis.call('PEXPIRE', wall.list, text(kept))
  return granted, reserve, used, wait
end

local answer = { epoch, live, expired }
for i = 3, #KEYS, 2 do
  local at = 7 + (i - 3) / 2 * 12
  local function argument(n) return tonumber(ARGV[at + n]) end
  local granted, reserve, used, wait = exchange({
    key = KEYS[i], list = KEYS[i + 1], kind = ARGV[at + 1], limit = argument(2), window = argument(3), grain = argument(4),
    start = argument(5), arrived = argument(6), age = argument(7), outstanding = argument(8), emergency = argument(9),
    want = argument(10), seen = argument(11), known = ARGV[at + 12] == '1',
  })
  for _, value in ipairs({ granted, reserve, used, wait }) do answer[#answer + 1] = value end
end
redis.call('HSET', account, 'v', FORMAT, 't', text(now), 'epoch', epoch, 'fresh', text(fresh), 'wiped', text(wiped),
  'm:' .. member, text(now))
redis.call('HSET', KEYS[2], 's', text(number), 'a', cmsgpack.pack(answer))
redis.call('PEXPIRE', KEYS[2], text(hold + emergency_ms + KEPT_MS))
redis.call('PEXPIRE', account, text(32 * 86400000))
return answer
