-- Every job of a tree of calls: who called it, the way to it from the top of its tree, what it cost, and what it cost with
-- all that was called below it. A tree's top may be a run of the caller's own, which has no row; ordered by `path`, each
-- call comes before those below it, and calls of one parent in the order they were made.
SELECT
    j.tree,
    j.call_depth AS depth,
    (
        WITH RECURSIVE up(parent, path, step) AS (
            SELECT CAST(j.parent AS TEXT), CAST(j.id AS TEXT), 0
            UNION ALL
            SELECT CAST(higher.parent AS TEXT), higher.id || ' > ' || up.path, up.step + 1
            FROM up
            INNER JOIN jobs AS higher ON higher.id = up.parent
        )
        SELECT CASE WHEN up.parent IS NULL THEN up.path ELSE up.parent || ' > ' || up.path END
        FROM up
        ORDER BY up.step DESC
        LIMIT 1
    ) AS path,
    j.parent,
    j.id AS job_id,
    j.batch_id,
    j.task,
    j.state,
    j.outcome,
    STARTED_AT(j) AS start_model,
    j.model_used,
    j.fallback_depth,
    ATTEMPTS(a.job_id = j.id) AS attempts,
    UNKNOWN(a.job_id = j.id) AS unknown_costs,
    SPENT(a.job_id = j.id) AS cost_nano_usd,
    USD(SPENT(a.job_id = j.id)) AS cost_usd,
    (
        WITH BELOW(j)
        SELECT COUNT(*) - 1 FROM below
    ) AS calls_below,
    (
        WITH BELOW(j)
        SELECT COUNT(*)
        FROM below
        INNER JOIN v_attempts AS a ON a.job_id = below.id
        WHERE a.cost_nano_usd IS NULL
    ) AS unknown_costs_with_below,
    (
        WITH BELOW(j)
        SELECT WHOLE(SUM(a.cost_nano_usd))
        FROM below
        INNER JOIN v_attempts AS a ON a.job_id = below.id
    ) AS cost_with_below_nano_usd,
    (
        WITH BELOW(j)
        SELECT USD(WHOLE(SUM(a.cost_nano_usd)))
        FROM below
        INNER JOIN v_attempts AS a ON a.job_id = below.id
    ) AS cost_with_below_usd,
    j.created_at,
    j.finished_at
FROM jobs AS j WITH_SPENT(a.job_id = j.id)
WHERE j.tree IS NOT NULL
