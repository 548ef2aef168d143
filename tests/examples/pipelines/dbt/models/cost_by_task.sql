-- What each kind of task has cost, and how far down the chain its answers came from. Money is whole nano-dollars; what is
-- not in the sum is counted in unknown_costs, and is never taken for nothing.
WITH cost AS (
    SELECT
        COALESCE(NULLIF(task, ''), 'none') AS task,
        SUM(attempts) AS attempts,
        SUM(cost_nano_usd) AS cost_nano_usd,
        SUM(unknown_costs) AS unknown_costs
    FROM {{ source('ledger', 'v_cost_daily') }}
    GROUP BY COALESCE(NULLIF(task, ''), 'none')
),

jobs AS (
    SELECT
        COALESCE(NULLIF(task, ''), 'none') AS task,
        COUNT(*) AS jobs,
        SUM(CASE WHEN state = 'succeeded' THEN 1 ELSE 0 END) AS succeeded,
        AVG(fallback_depth) AS mean_fallback_depth
    FROM {{ source('ledger', 'v_jobs') }}
    GROUP BY COALESCE(NULLIF(task, ''), 'none')
)

SELECT
    jobs.task,
    jobs.jobs,
    jobs.succeeded,
    jobs.mean_fallback_depth,
    cost.attempts,
    cost.cost_nano_usd,
    COALESCE(cost.unknown_costs, 0) AS unknown_costs
FROM jobs
LEFT JOIN cost ON cost.task = jobs.task
