-- title: Refused rows by reason
-- about: What was quarantined, with an example of each kind.
SELECT "table", reason, field, count(*) AS n, min(source_file) AS file, left(min(raw), 200) AS example
FROM quarantine
GROUP BY ALL
ORDER BY n DESC, "table", reason
