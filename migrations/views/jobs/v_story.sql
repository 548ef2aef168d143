-- What happened to a job, an event a row, in the order of `position` within it: accepted, each attempt, each decision, its
-- end. Decisions have their worker's clock, the rest the ledger's. Only attempts have a cost, so it can be summed.
SELECT
    s.job_id,
    s.at,
    ROW_NUMBER() OVER (PARTITION BY s.job_id ORDER BY s.step, s.lease_token, s.number) AS position,
    s.kind,
    s.model,
    s.what,
    s.reason,
    s.cost_nano_usd,
    s.latency_ms,
    s.details
FROM (
    SELECT
        j.id AS job_id,
        j.created_at AS at,
        0 AS step,
        0 AS lease_token,
        0 AS number,
        'accepted' AS kind,
        j.start_model AS model,
        'accepted' AS what,
        j.start_reason AS reason,
        CAST(NULL AS BIGINT) AS cost_nano_usd,
        CAST(NULL AS INTEGER) AS latency_ms,
        CAST(NULL AS TEXT) AS details
    FROM jobs AS j
    UNION ALL
    SELECT
        a.job_id,
        a.opened_at,
        2 * a.attempt_no,
        0,
        0,
        'attempt',
        a.requested_model,
        COALESCE(a.outcome, 'open'),
        a.reason,
        a.cost_nano_usd,
        a.latency_ms,
        NULL
    FROM v_attempts AS a
    UNION ALL
    SELECT
        d.job_id,
        d.at,
        2 * d.attempt_count + 1, -- after that attempt and before the next
        d.lease_token,
        d.number,
        'decision',
        d.model,
        d.decision,
        d.reason,
        NULL,
        NULL,
        d.details
    FROM decisions AS d
    UNION ALL
    SELECT
        e.id,
        e.finished_at,
        2147483647,
        0,
        0,
        'ended',
        e.model_used,
        e.state,
        e.outcome,
        NULL,
        NULL,
        NULL
    FROM jobs AS e
    WHERE e.finished_at IS NOT NULL
) AS s
