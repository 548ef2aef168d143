-- How deep the jobs that succeeded on a UTC day had to fall, by the model they started at. `share` is of that day and model.
SELECT
    day,
    start_model,
    fallback_depth,
    jobs,
    RATIO(jobs, SUM(jobs) OVER (PARTITION BY day, start_model)) AS share
FROM (
    SELECT day, start_model, fallback_depth, COUNT(*) AS jobs
    FROM (
        SELECT
            d.day,
            COALESCE(
                j.start_model,
                (SELECT a.requested_model FROM attempts AS a WHERE a.job_id = j.id ORDER BY a.attempt_no LIMIT 1)
            ) AS start_model,
            COALESCE(j.fallback_depth, 0) AS fallback_depth
        FROM v_days AS d
        CROSS JOIN jobs AS j
        WHERE j.finished_at >= d.since AND j.finished_at < d.until AND j.state = 'succeeded'
    ) AS succeeded
    GROUP BY day, start_model, fallback_depth
) AS depths
