-- Whether the provider failed the jobs of a day where they started. A fallback counts only where the provider's word
-- ended the start rung; our own limits, money and quality do not count. `share_endpoint_out`: of jobs whose whole endpoint
-- was out. `thresholds` says which day is bad.
-- Columns of jobs are named: an earlier revision drops others, which `*` would name.
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
    END AS verdict,
    RATIO(stepped_down, jobs) AS share_stepped_down,
    RATIO(endpoint_out, jobs) AS share_endpoint_out
FROM (
    SELECT
        day,
        start_model,
        COUNT(*) AS jobs,
        WHOLE(SUM(depth)) AS depths,
        COUNT(CASE WHEN depth = 0 THEN 1 END) AS at_depth_0,
        COUNT(CASE WHEN depth >= 2 THEN 1 END) AS at_depth_2plus,
        COUNT(CASE WHEN fallback_depth > 0 THEN 1 END) AS stepped_down,
        COUNT(CASE WHEN depth > 0 AND is_endpoint_out = 1 THEN 1 END) AS endpoint_out
    FROM (
        SELECT
            d.day,
            STARTED_AT(j) AS start_model,
            COALESCE(j.fallback_depth, 0) AS fallback_depth,
            CASE WHEN REPLACE(j.given_up, 'endpoint_out"', '') <> j.given_up THEN 1 ELSE 0 END AS is_endpoint_out,
            CASE WHEN COALESCE(j.fallback_depth, 0) = 0 THEN 0 ELSE (
                SELECT CASE WHEN COUNT(CASE WHEN CAST(g.key AS INTEGER) = j.start_rung THEN 1 END) = 0 THEN 0 ELSE COUNT(*) END
                FROM GIVEN_UP(j)
                WHERE (
                    (CAST(g.key AS INTEGER) >= j.start_rung AND CAST(g.key AS INTEGER) < j.rung)
                    OR (j.rung < j.start_rung AND CAST(g.key AS INTEGER) > j.rung)
                ) AND (
                    g.value IN (
                        'circuit_open', 'endpoint_out', 'limited', 'rate_limited', 'ramp_limited', 'overloaded',
                        'server_error', 'timed_out', 'cut', 'unreachable', 'malformed', 'model_missing'
                    )
                    -- A rung of the same limits follows the rung whose limits were used up.
                    OR (g.value = 'same_limit' AND REPLACE(j.given_up, 'limited"', '') <> j.given_up)
                )
            ) END AS depth
        FROM EACH_DAY(
            (SELECT id, state, start_model, start_rung, rung, given_up, fallback_depth, finished_at FROM jobs),
            finished_at,
            j
        )
        WHERE WITHIN_DAY(j.finished_at) AND IS_SUCCEEDED(j)
    ) AS walked
    GROUP BY day, start_model
) AS days
