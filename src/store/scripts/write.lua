-- Writes hashes and set members. KEYS[first_key] on: the hashes. ARGV[at] on, for each of them: the
-- number of fields (0 deletes the key), then names and values; then for each change of a set:
-- SADD or SREM, the position of its key, the member.
local function write(first_key, at)
  for k = first_key, #KEYS do
    local fields = tonumber(ARGV[at])
    at = at + 1
    if fields == 0 then
      redis.call('DEL', KEYS[k])
    else
      redis.call('HSET', KEYS[k], unpack(ARGV, at, at + 2 * fields - 1))
      at = at + 2 * fields
    end
  end
  while ARGV[at] do
    redis.call(ARGV[at], KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2])
    at = at + 3
  end
end
