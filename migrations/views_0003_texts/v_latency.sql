-- How long a day's attempts took to end, well or not. A percentile is a time that one of them took (nearest rank).
SELECT
    day,
    model,
    COUNT(*) AS attempts,
    MAX(CASE WHEN place = (50 * of_all + 99) / 100 THEN latency_ms END) AS p50_ms,
    MAX(CASE WHEN place = (95 * of_all + 99) / 100 THEN latency_ms END) AS p95_ms,
    MAX(latency_ms) AS max_ms
FROM (
    SELECT
        day,
        model,
        latency_ms,
        ROW_NUMBER() OVER (PARTITION BY day, model ORDER BY latency_ms) AS place,
        COUNT(*) OVER (PARTITION BY day, model) AS of_all
    FROM (
        SELECT d.day, a.model, a.latency_ms
        FROM v_days AS d
        CROSS JOIN v_attempts AS a
        WHERE a.opened_at >= d.since AND a.opened_at < d.until AND a.latency_ms IS NOT NULL
    ) AS timed
) AS placed
GROUP BY day, model
