-- Says that the store holds everything that the journal does, and that nobody writes any more.
-- KEYS: meta. ARGV: fence, last sequence of the journal.
local m = redis.call('HMGET', KEYS[1], 'fence', 'watermark')
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return {'open'} end
redis.call('HSET', KEYS[1], 'closed', ARGV[2], 'durable', ARGV[2])
return {'closed'}
