-- What wrk sends to `workbench receive`: an event of its own in each request. See receive.py.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init()
  sent = 0
  acknowledged = 0
end

function request()
  sent = sent + 1
  local body = string.format(
    '{"feedback_id": "w-%d-%09d", "request_id": "r-%08d", "ts": "2026-03-01T12:00:00.123Z", '
      .. '"name": "thumb", "kind": "binary", "value": %d, "user_id": "u%d", "session_id": "s%d", '
      .. '"rater_kind": "human", "channel": "web", '
      .. '"comment": "The answer misses the point, but it is polite about it."}',
    number, sent, sent % 5000, sent % 2, sent % 97, sent % 997
  )
  return wrk.format("POST", "/v1/feedback", { ["content-type"] = "application/json" }, body)
end

function response(status)
  if status == 202 then
    acknowledged = acknowledged + 1
  end
end

function done(summary, latency)
  local total = 0
  for _, thread in ipairs(threads) do
    total = total + thread:get("acknowledged")
  end
  io.write(string.format(
    '\n{"acknowledged": %d, "seconds": %.3f, "p50_ms": %.2f, "p99_ms": %.2f, "errors": %d}\n',
    total, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.status + summary.errors.timeout
  ))
end
