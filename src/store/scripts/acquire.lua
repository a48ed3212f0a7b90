-- Takes the fence: whoever wrote with an older one is refused from now on.
-- KEYS: meta. ARGV: own fence (0: none yet), installation, last durable sequence of the journal.
local m = redis.call('HMGET', KEYS[1], 'fence', 'installation', 'watermark', 'schema', 'hash',
  'hash_seq', 'rebuild', 'image_seq')
local function answer(word)
  return {word, m[1] or '', m[2] or '', m[3] or '', m[4] or '', m[5] or '', m[6] or '', m[7] or '',
    m[8] or ''}
end
local own, stored = tonumber(ARGV[1]), tonumber(m[1] or '0')
if m[2] and m[2] ~= ARGV[2] then return answer('foreign') end
if own > 0 and stored > own then return answer('fenced') end
if m[3] and tonumber(m[3]) > tonumber(ARGV[3]) then return answer('ahead') end
m[1] = string.format('%.0f', math.max(own, stored) + 1)
redis.call('HSET', KEYS[1], 'fence', m[1], 'installation', ARGV[2])
-- Somebody writes again: the store is complete when that ends in order.
redis.call('HDEL', KEYS[1], 'closed')
return answer('ok')
