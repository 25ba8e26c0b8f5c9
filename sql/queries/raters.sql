-- title: Raters at a glance
-- about: Events, mean reward and agreement with the label by rater; a rater who always says the same stands out.
SELECT rater_id,
       rater_kind,
       name AS signal,
       count(*) AS events,
       round(avg(reward), 3) AS mean_reward,
       round(avg(((reward >= 0.5) = (label = '1'))::INTEGER), 3) AS agrees_with_label,
       median(delay) AS median_delay_seconds
FROM enriched_feedback
WHERE rater_id IS NOT NULL
GROUP BY ALL
ORDER BY events DESC, rater_id
LIMIT 100
