-- The whole state as of the watermark, for a host that has lost its journal.
-- KEYS: meta, events, open, orders, positions, image. ARGV: fence, sequence, bytes.
local m = redis.call('HMGET', KEYS[1], 'fence', 'watermark')
if m[1] ~= ARGV[1] then return {'fence', m[1] or '', m[2] or ''} end
if not m[2] then return {'empty', m[1], ''} end
if m[2] ~= ARGV[2] then return {'hole', m[1], m[2]} end
local done = redis.pcall('SET', KEYS[6], ARGV[3])
if type(done) == 'table' and done.err then return done end
redis.call('HSET', KEYS[1], 'image_seq', ARGV[2])
return {'applied', m[1], m[2]}
