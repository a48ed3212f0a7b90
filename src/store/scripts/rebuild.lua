-- One step of writing the complete state anew. Steps are numbered: a step that comes twice is done
-- once, and one that comes late is not done at all.
-- KEYS: meta, events, open, orders, positions, image, then hashes to write.
-- ARGV: fence, step, what ('begin', 'wipe', 'put', 'end'), and for
--   begin: schema, key of the account, prefix of position keys
--   wipe: prefix of order keys, how many
--   put: packed: nothing, and what write() takes
--   end: watermark, first sequence of the stream
local m = redis.call('HMGET', KEYS[1], 'fence', 'rebuild')
if m[1] ~= ARGV[1] then return {'fence', m[1] or '', ''} end
local step, what = tonumber(ARGV[2]), ARGV[3]
if what == 'begin' then
  redis.call('HSET', KEYS[1], 'rebuild', ARGV[2], 'schema', ARGV[4])
  redis.call('HDEL', KEYS[1], 'watermark', 'first_seq', 'hash', 'hash_seq', 'image_seq', 'durable')
  for _, name in ipairs(redis.call('SMEMBERS', KEYS[5])) do
    redis.call('DEL', ARGV[6] .. name)
  end
  redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[5], KEYS[6], ARGV[5])
  return {'done', m[1], ''}
end
if not m[2] or step > tonumber(m[2]) + 1 then return {'empty', m[1], ''} end
local left = redis.call('SCARD', KEYS[4])
if step <= tonumber(m[2]) then return {'done', m[1], string.format('%.0f', left)} end
if what == 'wipe' then
  -- Keys made here carry the hash tag of KEYS, so they are on this server.
  for _, id in ipairs(redis.call('SPOP', KEYS[4], ARGV[5])) do
    redis.call('DEL', ARGV[4] .. id)
  end
  left = redis.call('SCARD', KEYS[4])
elseif what == 'put' then
  local packed = cmsgpack.unpack(ARGV[4])
  write(7, packed[2], packed[3], packed[4])
end
if what == 'end' then
  redis.call('HSET', KEYS[1], 'watermark', ARGV[4], 'first_seq', ARGV[5])
  redis.call('HDEL', KEYS[1], 'rebuild')
else
  redis.call('HSET', KEYS[1], 'rebuild', ARGV[2])
end
return {'done', m[1], string.format('%.0f', left)}
