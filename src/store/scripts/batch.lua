-- One batch: all of it or nothing.
-- KEYS: meta, events, open, orders, positions, image, then changed hashes and those to remove.
-- ARGV: fence, first and last sequence, longest stream (0: any), state hash ('': none), last durable
-- sequence of the journal, then packed: per event its type, time and data; and what write() takes.
local m = redis.call('HMGET', KEYS[1], 'fence', 'watermark', 'image_seq')
if m[1] ~= ARGV[1] then return {'fence', m[1] or '', m[2] or ''} end
-- That somebody writes here; a full server, or one that keeps its clock to itself, may refuse it.
local now = redis.pcall('TIME')
if not now.err then redis.pcall('HSET', KEYS[1], 'seen', now[1]) end
if not m[2] then return {'empty', m[1], ''} end
local first, last, watermark = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(m[2])
if last <= watermark then return {'already', m[1], m[2]} end
if first ~= watermark + 1 then return {'hole', m[1], m[2]} end
local packed = cmsgpack.unpack(ARGV[7])
local events, stream, at = packed[1], KEYS[2], 1
local format, call = string.format, redis.call
local function add(add, seq)
  return add('XADD', stream, format('%.0f-0', seq), 'type', events[at], 'time', events[at + 1], 'data',
    events[at + 2])
end
-- The first write is one that a full server refuses, so it refuses before anything is written.
local done = add(redis.pcall, first)
if type(done) == 'table' and done.err then
  if string.find(done.err, 'equal or smaller', 1, true) then return {'stream', m[1], m[2]} end
  return done
end
for seq = first + 1, last do
  at = at + 3
  add(call, seq)
end
write(7, packed[2], packed[3], packed[4])
redis.call('HSET', KEYS[1], 'watermark', ARGV[3], 'durable', ARGV[6])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'hash', ARGV[5], 'hash_seq', ARGV[3]) end
-- Image and stream together are the whole state: what the image lacks stays in the stream.
local oldest = math.min(last - tonumber(ARGV[4]), tonumber(m[3] or '0')) + 1
if ARGV[4] ~= '0' and oldest > 1 then
  redis.call('XTRIM', KEYS[2], 'MINID', '~', string.format('%.0f', oldest))
end
return {'applied', m[1], ARGV[3]}
