-- How long message batches of the last 30 days took, from their create until their end was seen. One that was cancelled
-- counts with its time until then. `p95_s` decides whether a job has time for the lane, once enough are `timed`. A
-- percentile is a time that one of them took.
SELECT
    model,
    COUNT(*) AS message_batches,
    COUNT(took_s) AS timed,
    COUNT(ended_at) AS ended,
    COUNT(cancelled_at) AS cancelled,
    MAX(CASE WHEN place = (50 * timed + 99) / 100 THEN took_s END) AS p50_s,
    MAX(CASE WHEN place = (95 * timed + 99) / 100 THEN took_s END) AS p95_s,
    MAX(took_s) AS max_s
FROM (
    SELECT
        m.model,
        m.ended_at,
        m.cancelled_at,
        m.took_s,
        COUNT(m.took_s) OVER (PARTITION BY m.model) AS timed,
        -- Those that took no time yet come last.
        ROW_NUMBER() OVER (PARTITION BY m.model ORDER BY CASE WHEN m.took_s IS NULL THEN 1 ELSE 0 END, m.took_s) AS place
    FROM (
        SELECT model, ended_at, cancelled_at, SECONDS(sent_at, COALESCE(cancelled_at, ended_at)) AS took_s
        FROM message_batches
        WHERE sent_at > DAYS_AGO(30)
    ) AS m
) AS ranked
GROUP BY model
