-- Requests in bundles of as many as the first argument says.
init = function(args)
  local bundle = {}
  for i = 1, tonumber(args[1]) do
    bundle[i] = wrk.format("GET")
  end
  all = table.concat(bundle)
end

request = function()
  return all
end
