-- The record of one family of tokens, its lock, and the intent that precedes each use of its refresh token. All of one request or nothing.
--
-- KEYS: the record, a hash: `v` version, `s` sealed, `t` when its tokens were asked for, `o` who wrote it, `i` the version that somebody is about
-- to spend, `io` who, `iu` until when they have the lock, `w` until when nobody may begin, `l` the version that was known when it was found to be
-- lost. ARGV: what is asked, the owner, and what belongs to it. Times are milliseconds of the server's clock, the only one that all sidecars see.
--
-- That clock may be set back: then what was written before seems to be in the future, and is taken for what it would be if it had been written
-- now. So nothing stands longer than it should, but for what is left of it.
--
-- A server may forget: it is emptied, it runs out of memory, it comes back with what it had an hour ago. A refresh token that was spent is then the
-- newest that it knows, or that somebody does who comes late. So those who know more have time to say so before anybody begins.
local what, owner = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version = tonumber(redis.call('HGET', KEYS[1], 'v')) or 0

-- A time that is kept, or the latest that it can be.
local function not_beyond(field, kept, latest)
  if kept <= latest then return kept end
  redis.call('HSET', KEYS[1], field, latest)
  return latest
end

-- `{version, sealed, age}`; version 0 is none.
local function record()
  if version == 0 then return {0, '', 0} end
  local kept = redis.call('HMGET', KEYS[1], 's', 't')
  return {version, kept[1], now - not_beyond('t', tonumber(kept[2]), now)}
end

-- Whether the lock is the owner's for so long from now.
local function is_mine(needed)
  local held = redis.call('HMGET', KEYS[1], 'io', 'iu')
  return held[1] == owner and now + needed < (tonumber(held[2]) or 0)
end

if what == 'load' then
  return {'record', unpack(record())}
end

if what == 'begin' then
  local expected, ttl, settles = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])
  if version > expected then return {'newer', unpack(record())} end
  local kept = redis.call('HMGET', KEYS[1], 'i', 'io', 'iu', 'w', 'l')
  local is_others = kept[2] and kept[2] ~= owner
  if is_others and now < not_beyond('iu', tonumber(kept[3]) or 0, now + ttl) then return {'held'} end
  local wait = not_beyond('w', tonumber(kept[4]) or 0, now + math.max(ttl, settles))
  if version < expected and (tonumber(kept[5]) or 0) < expected then
    wait = now + ttl
    redis.call('HSET', KEYS[1], 'w', wait, 'l', expected)
  elseif version == 0 and not kept[4] then
    wait = now + settles
    redis.call('HSET', KEYS[1], 'w', wait)
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  if now < wait then return {'held'} end
  redis.call('HSET', KEYS[1], 'i', expected, 'io', owner, 'iu', now + ttl)
  return {'ours', is_others and tonumber(kept[1]) == expected and 1 or 0}
end

if what == 'vouch' then
  local known, sealed, age = tonumber(ARGV[3]), ARGV[4], ARGV[5]
  if version >= known then return {'vouched', 0} end
  redis.call('HSET', KEYS[1], 'v', known, 's', sealed, 't', now - age, 'o', '', 'w', now + ARGV[7])
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  return {'vouched', 1}
end

if what == 'holds' then
  return {'holds', is_mine(tonumber(ARGV[3])) and 1 or 0}
end

if what == 'commit' then
  local new, sealed, age = tonumber(ARGV[3]), ARGV[4], ARGV[5]
  local is_known = version == new and redis.call('HGET', KEYS[1], 'o') == owner
  if version >= new and not is_known then return {'superseded', unpack(record())} end
  if not is_known then
    redis.call('HSET', KEYS[1], 'v', new, 's', sealed, 't', now - age, 'o', owner)
  end
  if is_mine(0) then redis.call('HDEL', KEYS[1], 'io', 'iu') end
  redis.call('HDEL', KEYS[1], 'i')
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  return {'durable'}
end

-- release
if redis.call('HGET', KEYS[1], 'io') == owner then
  redis.call('HDEL', KEYS[1], 'iu')
  if ARGV[3] == '0' then redis.call('HDEL', KEYS[1], 'i', 'io') end
end
return {'released'}
