-- title: Confident but wrong
-- about: Labelled inferences that were given a probability of 0.9 or more and did not turn out so.
SELECT request_id, ts, model_version, round(calibration_p, 3) AS predicted, label, reward, input, output
FROM enriched_inferences
WHERE calibration_p >= 0.9 AND calibration_y = 0
ORDER BY calibration_p DESC, request_id
LIMIT 200
