-- The view of revision 0003, with its columns named: earlier revisions drop columns of jobs that `*` would name.
SELECT
    day,
    start_model,
    jobs,
    RATIO(depths, jobs) AS mean_depth,
    RATIO(at_depth_0, jobs) AS share_depth_0,
    RATIO(at_depth_2plus, jobs) AS share_depth_2plus,
    CASE
        WHEN jobs < THRESHOLD(health_min_jobs) THEN 'too few jobs'
        WHEN 100 * at_depth_2plus >= jobs * THRESHOLD(health_unreliable_percent) THEN 'primary unreliable'
        WHEN 100 * (jobs - at_depth_0) >= jobs * THRESHOLD(health_degraded_percent) THEN 'degraded'
        ELSE 'ok'
    END AS verdict
FROM (
    SELECT
        d.day,
        STARTED_AT(j) AS start_model,
        COUNT(*) AS jobs,
        WHOLE(SUM(j.fallback_depth)) AS depths,
        COUNT(CASE WHEN COALESCE(j.fallback_depth, 0) = 0 THEN 1 END) AS at_depth_0,
        COUNT(CASE WHEN j.fallback_depth >= 2 THEN 1 END) AS at_depth_2plus
    FROM EACH_DAY((SELECT id, state, start_model, fallback_depth, finished_at FROM jobs), finished_at, j)
    WHERE WITHIN_DAY(j.finished_at) AND IS_SUCCEEDED(j)
    GROUP BY d.day, STARTED_AT(j)
) AS days
