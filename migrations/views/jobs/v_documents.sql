-- Every document of a batch that is mapped and synthesized, and each of its levels: its jobs, and what their attempts cost.
-- Level 0 are a document's parts; no document: what is made of several, the synthesis last.
SELECT
    made.batch_id,
    made.document,
    made.level,
    made.task,
    COUNT(*) AS jobs,
    COUNT(CASE WHEN made.state = 'succeeded' THEN 1 END) AS succeeded,
    COUNT(CASE WHEN made.state IN ('failed', 'cancelled') THEN 1 END) AS failed,
    CAST(SUM(made.attempts) AS BIGINT) AS attempts,
    CAST(SUM(made.unknown_costs) AS BIGINT) AS unknown_costs,
    WHOLE(SUM(made.cost_nano_usd)) AS cost_nano_usd,
    USD(WHOLE(SUM(made.cost_nano_usd))) AS cost_usd,
    CREDITS(WHOLE(SUM(made.cost_nano_usd))) AS credits
FROM (
    SELECT
        s.batch_id,
        s.document,
        s.level,
        j.task,
        j.state,
        ATTEMPTS(a.job_id = j.id) AS attempts,
        UNKNOWN(a.job_id = j.id) AS unknown_costs,
        SPENT(a.job_id = j.id) AS cost_nano_usd
    FROM steps AS s JOIN jobs AS j ON j.id = s.job_id WITH_SPENT(a.job_id = j.id)
) AS made
GROUP BY made.batch_id, made.document, made.level, made.task
