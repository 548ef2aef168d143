-- Every job without its prompt, its answer and its provider's words: where it is, and what its attempts cost.
SELECT
    j.id AS job_id,
    j.batch_id,
    j.seq,
    j.prompt_id,
    j.task,
    j.state,
    j.outcome,
    COALESCE(
        j.start_model,
        (SELECT a.requested_model FROM attempts AS a WHERE a.job_id = j.id ORDER BY a.attempt_no LIMIT 1)
    ) AS start_model,
    j.model_used,
    j.fallback_depth,
    j.crashes,
    j.rebuys,
    (SELECT COUNT(*) FROM attempts AS a WHERE a.job_id = j.id) AS attempts,
    (SELECT COUNT(*) FROM v_attempts AS a WHERE a.job_id = j.id AND a.cost_nano_usd IS NULL) AS unknown_costs,
    SPENT(a.job_id = j.id) AS cost_nano_usd,
    USD(SPENT(a.job_id = j.id)) AS cost_usd,
    CREDITS(SPENT(a.job_id = j.id)) AS credits,
    j.created_at,
    j.due_at,
    j.deadline_at,
    j.finished_at,
    j.purged_at
FROM jobs AS j
