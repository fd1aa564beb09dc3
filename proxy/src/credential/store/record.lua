-- The record of one family of tokens, its lock, and the intent that precedes each use of its refresh token. All of one request or nothing.
--
-- KEYS: the record (a hash: `v` version, `s` sealed, `t` when its tokens were asked for, `o` who wrote it, `i` the version that somebody is about
-- to spend, `io` who), the lock (its owner, for a time). ARGV: what is asked, the owner, and what belongs to it. Times are milliseconds of the
-- server's clock, the only one that all sidecars see.
local what, owner = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version = tonumber(redis.call('HGET', KEYS[1], 'v')) or 0

-- `{version, sealed, age}`; version 0 is none.
local function record()
  if version == 0 then return {0, '', 0} end
  local kept = redis.call('HMGET', KEYS[1], 's', 't')
  return {version, kept[1], math.max(0, now - tonumber(kept[2]))}
end

local function is_mine()
  return redis.call('GET', KEYS[2]) == owner
end

if what == 'load' then
  return {'record', unpack(record())}
end

if what == 'begin' then
  local expected, ttl = tonumber(ARGV[3]), ARGV[4]
  if version > expected then return {'newer', unpack(record())} end
  if redis.call('EXISTS', KEYS[2]) == 1 and not is_mine() then return {'held'} end
  redis.call('SET', KEYS[2], owner, 'PX', ttl)
  local intent = redis.call('HMGET', KEYS[1], 'i', 'io')
  local unfinished = tonumber(intent[1]) == expected and intent[2] ~= owner
  redis.call('HSET', KEYS[1], 'i', expected, 'io', owner)
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  return {'ours', unfinished and 1 or 0}
end

if what == 'holds' then
  return {'holds', is_mine() and 1 or 0}
end

if what == 'commit' then
  local new, sealed, age = tonumber(ARGV[3]), ARGV[4], ARGV[5]
  local is_known = version == new and redis.call('HGET', KEYS[1], 'o') == owner
  if version >= new and not is_known then return {'superseded', unpack(record())} end
  if not is_known then
    redis.call('HSET', KEYS[1], 'v', new, 's', sealed, 't', now - age, 'o', owner)
  end
  redis.call('HDEL', KEYS[1], 'i', 'io')
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  if is_mine() then redis.call('DEL', KEYS[2]) end
  return {'durable'}
end

-- release
if is_mine() then redis.call('DEL', KEYS[2]) end
if ARGV[3] == '0' and redis.call('HGET', KEYS[1], 'io') == owner then
  redis.call('HDEL', KEYS[1], 'i', 'io')
end
return {'released'}
