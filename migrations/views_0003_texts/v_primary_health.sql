-- Whether a day's jobs got their answers where they started. From where on a day is called bad is in `thresholds`.
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
        day,
        start_model,
        WHOLE(SUM(jobs)) AS jobs,
        WHOLE(SUM(jobs * fallback_depth)) AS depths,
        WHOLE(SUM(CASE WHEN fallback_depth = 0 THEN jobs ELSE 0 END)) AS at_depth_0,
        WHOLE(SUM(CASE WHEN fallback_depth >= 2 THEN jobs ELSE 0 END)) AS at_depth_2plus
    FROM v_fallback_histogram
    GROUP BY day, start_model
) AS days
