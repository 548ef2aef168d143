-- How deep the jobs that succeeded on a UTC day had to fall, by the model they started at. `share` is of that day and model.
SELECT
    day,
    start_model,
    fallback_depth,
    jobs,
    RATIO(jobs, SUM(jobs) OVER (PARTITION BY day, start_model)) AS share
FROM (
    SELECT d.day, STARTED_AT(j) AS start_model, COALESCE(j.fallback_depth, 0) AS fallback_depth, COUNT(*) AS jobs
    FROM EACH_DAY(jobs, finished_at, j)
    WHERE WITHIN_DAY(j.finished_at) AND IS_SUCCEEDED(j)
    GROUP BY d.day, STARTED_AT(j), COALESCE(j.fallback_depth, 0)
) AS depths
