-- Every batch: its jobs by state, what its attempts cost, and its cap. `queued` to `cancelled` add up to its jobs; `held`
-- are among the waiting, `over_budget` among the failed.
SELECT
    b.id AS batch_id,
    b.name,
    b.task,
    b.tags,
    b.created_at,
    b.job_count AS jobs,
    JOBS(j.state = 'queued') AS queued,
    JOBS(j.state = 'running') AS running,
    JOBS(j.state = 'waiting') AS waiting,
    JOBS(j.state = 'succeeded') AS succeeded,
    JOBS(j.state = 'failed') AS failed,
    JOBS(j.state = 'cancelled') AS cancelled,
    JOBS(j.state = 'waiting' AND j.due_at IS NULL) AS held,
    JOBS(j.state = 'failed' AND j.outcome = 'over_budget') AS over_budget,
    ATTEMPTS(a.batch_id = b.id) AS attempts,
    UNKNOWN(a.batch_id = b.id) AS unknown_costs,
    SPENT(a.batch_id = b.id) AS cost_nano_usd,
    USD(SPENT(a.batch_id = b.id)) AS cost_usd,
    CREDITS(SPENT(a.batch_id = b.id)) AS credits,
    (SELECT g.cap_nano_usd FROM budgets AS g WHERE g.scope = 'batch:' || b.id AND g.day = '') AS cap_nano_usd,
    (SELECT USD(g.cap_nano_usd) FROM budgets AS g WHERE g.scope = 'batch:' || b.id AND g.day = '') AS cap_usd
FROM batches AS b WITH_SPENT(a.batch_id = b.id)
