-- Jobs whose answer was cut at max_tokens, or at the end of the context window, and what that answer cost.
SELECT
    j.id AS job_id,
    j.batch_id,
    j.prompt_id,
    j.task,
    j.model_used,
    j.fallback_depth,
    j.finished_at,
    a.stop_reason,
    a.output_tokens,
    CASE WHEN a.cost_nano_usd IS NULL THEN 1 ELSE 0 END AS unknown_costs,
    a.cost_nano_usd,
    a.cost_usd,
    a.credits
FROM answers AS w
JOIN jobs AS j ON j.id = w.job_id
JOIN v_attempts AS a ON a.attempt_id = w.attempt_id
WHERE w.is_truncated
