-- Attempts whose cost nobody knows, why, and what each may have cost at least and at most.
SELECT
    a.attempt_id,
    a.job_id,
    a.batch_id,
    a.task,
    DAY(a.opened_at) AS day,
    a.model,
    a.outcome,
    CASE
        WHEN a.outcome = 'unknown' THEN 'worker lost'
        WHEN a.closed_at IS NULL THEN 'open'
        WHEN a.outcome = 'timed_out' THEN 'timed out'
        WHEN a.outcome = 'cut' THEN 'cut'
        WHEN a.outcome = 'malformed' THEN 'malformed'
        WHEN a.cost_status = 'at_least' THEN 'usage not whole'
        WHEN a.output_tokens IS NOT NULL THEN 'no price'
        ELSE 'end not seen'
    END AS explanation,
    a.opened_at,
    a.closed_at,
    a.least_nano_usd,
    a.least_usd,
    a.reserved_nano_usd,
    a.reserved_usd
FROM v_attempts AS a
WHERE a.cost_nano_usd IS NULL
