-- One exchange between a sidecar and the store, for all walls of one account at once. Whoever asks again with the same number
-- gets the same answer, and nothing is done twice. Owns the format of what is kept; `exchange.rs` owns the words, `lease.rs` when they are said.
--
-- KEYS: the account; what the member was last told; then two for each wall: its counts, its entries.
-- ARGV: member, number, epoch that the member knows ('' for none), a new epoch, and in ms: lease, hold, emergency, the member's own time
--   since some start, which nobody can set; how many scopes were closed, for each operation, resource and for how long; then for each wall
--   kind (r, c, n), limit, window (for c: the period's end), grain, start (for c), arrived, age, outstanding, emergency, want (-1: not
--   even a share for emergencies), seen (-1 for none), known (1 or 0), and of a limit that was lowered: limit (0 for none), ms until it
--   rises, by how much, how often; in how many ms the system forgets what was seen (-1: with its window).
-- Answers: epoch, live members, whether the member's grants had expired; then for each wall granted, emergency, used, ms to wait (-1: unknown),
--   a limit that is lower than the one asked with and ms until it rises (-1: none); then for each scope that is closed operation, resource, ms.
--
-- The account (hash): v format, t the latest time, clock what the store's clock showed then, doubt and doubted (time that nobody could
--   vouch for, and since when), epoch, fresh (nothing is granted before), wiped and wiped_clock (when that was noticed),
--   m:ID when a member was last heard, o:ID by how much its own time is behind, at least,
--   g:LENGTH:OPERATIONRESOURCE until when that scope is closed.
-- What a member was told (hash): s its last number, a the answer to it.
-- A wall (hash): d spent, p period, b (nothing is known before), w the wipe that b stands for, h:ID and e:ID what a member holds,
--   l, r, i, y a limit that was lowered: what it is, when it rises, by how much, how often, x and xe what others use that the system
--   forgets before its window has passed, and when.
-- Its entries (list): 'time at which it no longer counts:cost', in the order of time.

local FORMAT = '1'
local LIVE_MS = 5000        -- a member that was not heard for so long does not count when leases are sized
local PROBATION_MS = 2000   -- how long members that know better have to object to a store that begins anew
local MAX_ENTRIES = 4096    -- as in the sidecar
local SHARES = 4            -- what is left is given away in parts of this many per live member
local EMERGENCIES = 200     -- the shares for emergencies are this part of the limit, all together
local KEPT_MS = 86400000    -- beyond what anything could count
local SILENCE_MS = 2000     -- members that are there talk more often
local JITTER_MS = 250       -- a message takes less, or the store's clock was set
local MAX_PAUSES = 64       -- as in the sidecar
local MAX_SEEN = 1e12       -- as in the sidecar; numbers that are far larger are not exact, and cannot be written down
local HEAD, PER_WALL, PER_ASK, PER_PAUSE = 3, 6, 17, 3

local account, member, number, known_epoch, new_epoch = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local lease, hold, emergency_ms, mono = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local FIRST_PAUSE, pauses = 9, tonumber(ARGV[9])
local FIRST_ASK = FIRST_PAUSE + pauses * PER_PAUSE

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

-- Time. It follows the store's clock, but whoever sets that one moves nothing: set back, time goes on from where it was; set forward, a
-- member that was here before knows better. Never is less time taken off a window than has passed.
local time = redis.call('TIME')
local clock = int(time[1]) * 1000 + math.floor(int(time[2]) / 1000)
local last, doubt, doubted = int(about.t), int(about.doubt), int(about.doubted)
local silence = clock - int(about.clock)
local anchor = tonumber(about['o:' .. member])
local now = last + math.max(silence, 0)
if not about.t then
  now, anchor = clock, clock - mono
elseif anchor then
  now, doubt = now + doubt, 0
  if now > anchor + mono + JITTER_MS then
    now = math.max(last, anchor + mono)
    anchor = now - mono
  end
elseif silence < 0 or silence > SILENCE_MS then
  now = last
  if doubt == 0 then doubted = now end
  doubt = doubt + math.max(silence, 1)
elseif doubt == 0 then
  anchor = now - mono
elseif now - doubted >= PROBATION_MS then
  now, doubt = now + doubt, 0
  anchor = now - mono
end
if anchor then anchor = math.min(anchor, now - mono) end

-- Who is there, and what is closed.
local heard, live = {}, 1
local closed, closed_count = {}, 0
for field, value in pairs(about) do
  if string.match(field, '^g:') then
    if int(value) <= now then
      redis.call('HDEL', account, field)
    else
      closed[field], closed_count = int(value), closed_count + 1
    end
  end
  local id = string.match(field, '^m:(.+)$')
  if id then
    heard[id] = int(value)
    if id ~= member and now - heard[id] < LIVE_MS then live = live + 1 end
    if now - heard[id] > hold + emergency_ms then
      redis.call('HDEL', account, field, 'o:' .. id)
      heard[id] = nil
    end
  end
end
for i = 0, pauses - 1 do
  local at = FIRST_PAUSE + i * PER_PAUSE
  local operation, resource, till = ARGV[at + 1], ARGV[at + 2], now + tonumber(ARGV[at + 3])
  local field = 'g:' .. text(#operation) .. ':' .. operation .. resource
  if till > (closed[field] or now) and (closed[field] or closed_count < MAX_PAUSES) then
    if not closed[field] then closed_count = closed_count + 1 end
    closed[field] = till
    redis.call('HSET', account, field, text(till))
  end
end
local function with_closed(answer)
  for field, till in pairs(closed) do
    local length, names = string.match(field, '^g:(%d+):(.*)$')
    local values = { string.sub(names, 1, int(length)), string.sub(names, int(length) + 1), till - now }
    for _, value in ipairs(values) do answer[#answer + 1] = value end
  end
  return answer
end
local expired = 0
if not heard[member] or now - heard[member] >= lease then expired = 1 end

local function remember()
  redis.call('HSET', account, 'm:' .. member, text(now), 't', text(now), 'clock', text(clock),
    'doubt', text(doubt), 'doubted', text(doubted))
  if anchor then redis.call('HSET', account, 'o:' .. member, text(anchor)) end
end

local told = fields(KEYS[2])
local answered = int(told.s)
if number < answered then
  return redis.error_reply('FERRATASTALE ' .. text(number) .. ' comes after ' .. text(answered))
end
if number == answered then
  remember()
  local answer = cmsgpack.unpack(told.a)
  if expired == 1 then
    answer[3] = 1
    -- What was granted may have been counted as spent meanwhile.
    for i = HEAD + 1, #answer, PER_WALL do answer[i], answer[i + 1] = 0, 0 end
  end
  return with_closed(answer)
end
heard[member] = now

-- Whether this is the store that the others knew.
local epoch, fresh, wiped, wiped_clock = about.epoch, int(about.fresh), int(about.wiped), int(about.wiped_clock)
if not epoch then
  epoch, fresh = new_epoch, now + PROBATION_MS
end
if known_epoch ~= '' and known_epoch ~= epoch and wiped == 0 then
  wiped, wiped_clock = now, clock
end
-- One whose time nobody can vouch for yet waits until somebody does, or is not there.
local opens = fresh
if not anchor then opens = math.max(fresh, doubted + PROBATION_MS, now + 1) end

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
  if wall.kind == 'c' then return math.max(wall.window - clock, 1) end
  if wall.kind == 'r' then
    for _, entry in ipairs(redis.call('LRANGE', wall.list, 0, 63)) do
      local at, cost = string.match(entry, '^(%d+):(%d+)$')
      excess = excess - int(cost)
      if excess <= 0 then return int(at) - now end
    end
  end
  return -1
end

-- When there is room for what is too much; what others use, and the system forgets before its window has passed, goes all at once.
local function room_in(wall, excess, others, ends_in)
  local without = wait_for(wall, excess)
  if others == 0 then return without end
  local with = ends_in
  if excess > others then
    local rest = wait_for(wall, excess - others)
    with = rest < 0 and -1 or math.max(ends_in, rest)
  end
  if without < 0 or with < 0 then return math.max(without, with) end
  return math.min(without, with)
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
  -- Days are the clock's, whoever sets it. What is under way counts for as long as a call may last.
  local present, lasts = now, wall.window
  if wall.kind == 'c' then present = clock end
  if wall.kind == 'n' then lasts = hold end
  local blind_for = wall.kind == 'c' and wall.window or now + lasts
  if wall.known and not counts.v then blind = blind_for end
  if wall.kind == 'r' then spent = forget(wall, spent) end
  if wall.kind == 'c' and wall.start > period and clock >= wall.start then spent, period = 0, wall.start end
  if wiped > seen_wipe then
    if wall.kind == 'c' then
      if wiped_clock >= period then blind = math.max(blind, wall.window) end
    else
      blind = math.max(blind, wiped + lasts)
    end
  end
  local held, more = held_by_others(wall, counts)
  spent = spent + more + count(wall, wall.arrived, now - wall.age)
  local others, others_end = int(counts.x), int(counts.xe)
  if others_end <= now or (wall.kind == 'c' and period > int(counts.p)) then others, others_end = 0, 0 end
  local used = spent + held + wall.outstanding + wall.emergency + others
  -- What was seen of a day that is over says nothing of this one.
  if wall.kind == 'c' and (wall.start ~= period or clock >= wall.window) then wall.seen = -1 end
  if wall.seen >= 0 then
    -- The upstream's count is worth a memory once everything has arrived that was leased or under way when there was one, and was counted.
    local since = blind - lasts
    if wall.kind == 'c' then since = wiped > 0 and wiped or now end
    if now - since > 2 * hold then blind = 0 end
    wall.seen = math.min(wall.seen, MAX_SEEN)
    if wall.seen > used then
      if wall.ends_in >= 0 then
        others, others_end = others + wall.seen - used, math.max(others_end, now + wall.ends_in)
      else
        spent = spent + count(wall, wall.seen - used, now)
      end
      used = wall.seen
    end
  end

  local low, rises, by, every = int(counts.l), int(counts.r), int(counts.i), int(counts.y)
  if wall.lowered > 0 then low, rises, by, every = wall.lowered, now + wall.rises_in, wall.by, wall.every end
  if low > 0 and now >= rises then
    local steps = math.floor((now - rises) / every) + 1
    low, rises = low + steps * by, rises + steps * every
  end
  local limit, told, told_in = wall.limit, -1, -1
  if low > 0 and low < limit then limit, told, told_in = low, low, rises - now end

  local known_in = math.max(blind - present, opens - now)
  local room, granted, reserve, wait = limit - used, 0, 0, -1
  if known_in > 0 then
    wait = known_in
    if present < blind then used = math.max(used, wall.limit) end
  elseif wall.want > 0 and room > 0 then
    granted = math.min(room, math.max(1, math.min(wall.want, math.floor(room / (SHARES * live)))))
  elseif wall.want > 0 then
    wait = room_in(wall, 1 - room, others, others_end - now)
  end
  if known_in <= 0 and wall.want >= 0 and wall.kind ~= 'n' and room - granted > limit / 2 then
    reserve = math.max(0, math.floor(limit / (EMERGENCIES * live)) - wall.emergency)
  end
  used = used + granted + reserve
  redis.call('HSET', wall.key, 'v', FORMAT, 'd', text(spent), 'p', text(period), 'b', text(blind), 'w', text(wiped),
    'x', text(others), 'xe', text(others_end),
    'h:' .. member, text(wall.outstanding + granted), 'e:' .. member, text(wall.emergency + reserve))
  if low > 0 then
    redis.call('HSET', wall.key, 'l', text(low), 'r', text(rises), 'i', text(by), 'y', text(every))
  end
  local kept = (wall.kind == 'c' and math.max(wall.window - clock, 0) or wall.window) + hold + emergency_ms + KEPT_MS
  redis.call('PEXPIRE', wall.key, text(kept))
  redis.call('PEXPIRE', wall.list, text(kept))
  return granted, reserve, used, wait, told, told_in
end

local answer = { epoch, live, expired }
for i = 3, #KEYS, 2 do
  local at = FIRST_ASK + (i - 3) / 2 * PER_ASK
  local function argument(n) return tonumber(ARGV[at + n]) end
  local values = { exchange({
    key = KEYS[i], list = KEYS[i + 1], kind = ARGV[at + 1], limit = argument(2), window = argument(3), grain = argument(4),
    start = argument(5), arrived = argument(6), age = argument(7), outstanding = argument(8), emergency = argument(9),
    want = argument(10), seen = argument(11), known = ARGV[at + 12] == '1',
    lowered = argument(13), rises_in = argument(14), by = argument(15), every = argument(16), ends_in = argument(17),
  }) }
  for _, value in ipairs(values) do answer[#answer + 1] = value end
end
remember()
redis.call('HSET', account, 'v', FORMAT, 'epoch', epoch, 'fresh', text(fresh), 'wiped', text(wiped), 'wiped_clock', text(wiped_clock))
redis.call('HSET', KEYS[2], 's', text(number), 'a', cmsgpack.pack(answer))
redis.call('PEXPIRE', KEYS[2], text(hold + emergency_ms + KEPT_MS))
redis.call('PEXPIRE', account, text(32 * 86400000))
return with_closed(answer)
