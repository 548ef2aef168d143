-- How long a day's live attempts took to end, well or not; v_batch_latency has the others. A percentile is a time that one of them took (nearest rank).
SELECT day, model, of_all AS attempts, p50_ms, p95_ms, latency_ms AS max_ms
FROM (
    SELECT
        day,
        model,
        latency_ms,
        place,
        of_all,
        MAX(CASE WHEN place = (50 * of_all + 99) / 100 THEN latency_ms END) OVER (PARTITION BY day, model) AS p50_ms,
        MAX(CASE WHEN place = (95 * of_all + 99) / 100 THEN latency_ms END) OVER (PARTITION BY day, model) AS p95_ms
    FROM (
        SELECT
            d.day,
            a.model,
            a.latency_ms,
            ROW_NUMBER() OVER (PARTITION BY d.day, a.model ORDER BY a.latency_ms) AS place,
            COUNT(*) OVER (PARTITION BY d.day, a.model) AS of_all
        FROM EACH_DAY(v_attempts, opened_at, a)
        WHERE WITHIN_DAY(a.opened_at) AND a.latency_ms IS NOT NULL AND a.lane = 'live'
    ) AS placed
) AS ranked
WHERE place = of_all
