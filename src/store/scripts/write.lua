-- Writes hashes and set members. KEYS[first_key] on: the hashes, and behind them the keys to remove. `kinds`: names of
-- each kind of hash, a gap behind each name; `values`: for each hash its kind and its values; `changes`: for each
-- change of a set SADD or SREM, the position of its key, members. One pass over flat lists: this is most of what a
-- batch costs the server beside the commands themselves.
local function write(first_key, kinds, values, changes)
  local call, unpack = redis.call, unpack
  local key, at = first_key, 1
  while values[at] do
    local fields = kinds[values[at]]
    local last = #fields
    for gap = 2, last, 2 do
      at = at + 1
      fields[gap] = values[at]
    end
    at = at + 1
    call('HSET', KEYS[key], unpack(fields, 1, last))
    key = key + 1
  end
  for from = key, #KEYS, 1000 do
    call('DEL', unpack(KEYS, from, math.min(from + 999, #KEYS)))
  end
  for _, change in ipairs(changes) do
    call(change[1], KEYS[change[2]], unpack(change, 3))
  end
end
