-- title: Calibration by model version
-- about: Mean predicted probability against what was observed; a gap above 0 is overconfidence.
SELECT model_version,
       count(*) AS n,
       round(avg(calibration_p), 4) AS predicted,
       round(avg(calibration_y), 4) AS observed,
       round(avg(calibration_p) - avg(calibration_y), 4) AS gap
FROM enriched_inferences
WHERE isfinite(calibration_p) AND calibration_y IS NOT NULL
GROUP BY model_version
ORDER BY gap DESC
