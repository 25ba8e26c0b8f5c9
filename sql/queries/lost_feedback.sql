-- title: Feedback that found no inference
-- about: Orphaned and ambiguous events with the reason, and the event as it was received.
SELECT status, reason, count(*) OVER (PARTITION BY status, reason) AS alike,
       feedback_id, source_file, source_row, raw
FROM attribution
WHERE status <> 'attributed'
ORDER BY alike DESC, status, reason, feedback_id
LIMIT 500
