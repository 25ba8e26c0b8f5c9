-- title: Who gives feedback
-- about: Share of labelled inferences by model version and device; groups that are hardly labelled come first.
SELECT model_version,
       device,
       count(*) AS inferences,
       count(*) FILTER (WHERE label IS NOT NULL OR reward IS NOT NULL) AS labelled,
       round(labelled / inferences, 4) AS coverage
FROM enriched_inferences
GROUP BY ALL
ORDER BY coverage, inferences DESC
