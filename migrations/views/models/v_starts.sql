-- How often each model gave a job of each task kind an answer that will do, over 30 days, and at what cost: starts are
-- learned from it (TASK_STARTS=task:auto). Jobs are counted, each once for a model whatever it took: retries, a raised limit.
-- Costs are at the rates of live calls, for a job at half price, too: the lane is not the model's.
-- What tells nothing of quality (overloaded, timed out, ...) is in no share, but in the cost. Of jobs that came up from a
-- cheaper model, which are the harder ones, `climbed` tells. Between `low` and `high` the true share lies in 95 of 100
-- cases (Wilson). A truncated answer is in `accepted` nowhere here; where its kind keeps it, the choice counts it in.
SELECT
    task,
    model,
    attempts,
    judged,
    accepted,
    CASE WHEN judged > 0 THEN ROUND(CAST(1.0 * accepted / judged AS NUMERIC), 6) END AS accepted_share,
    CASE WHEN judged > 0 THEN ROUND(CAST((middle - 1.96 * around) / (judged + 3.8416) AS NUMERIC), 6) END AS low,
    CASE WHEN judged > 0 THEN ROUND(CAST((middle + 1.96 * around) / (judged + 3.8416) AS NUMERIC), 6) END AS high,
    truncated,
    refused,
    empty,
    invalid,
    too_long,
    climbed,
    climbed_accepted,
    unknown_costs,
    priced,
    mean_cost_nano_usd,
    USD(mean_cost_nano_usd) AS mean_cost_usd
FROM (
    SELECT
        counted.*,
        accepted + 1.9208 AS middle,
        CASE WHEN judged > 0 THEN ROOT((1.0 * accepted * (judged - accepted) / judged + 0.9604)) END AS around,
        CASE WHEN priced > 0 THEN known_nano_usd / priced END AS mean_cost_nano_usd
    FROM (
        SELECT
            task,
            model,
            WHOLE(SUM(attempts)) AS attempts,
            COUNT(CASE WHEN verdict IS NOT NULL AND is_climbed = 0 THEN 1 END) AS judged,
            COUNT(CASE WHEN verdict = 'answered' AND is_climbed = 0 THEN 1 END) AS accepted,
            COUNT(CASE WHEN verdict = 'truncated' AND is_climbed = 0 THEN 1 END) AS truncated,
            COUNT(CASE WHEN verdict = 'refused' AND is_climbed = 0 THEN 1 END) AS refused,
            COUNT(CASE WHEN verdict = 'empty' AND is_climbed = 0 THEN 1 END) AS empty,
            COUNT(CASE WHEN verdict = 'invalid' AND is_climbed = 0 THEN 1 END) AS invalid,
            COUNT(CASE WHEN verdict = 'too_long' AND is_climbed = 0 THEN 1 END) AS too_long,
            COUNT(CASE WHEN verdict IS NOT NULL AND is_climbed = 1 THEN 1 END) AS climbed,
            COUNT(CASE WHEN verdict = 'answered' AND is_climbed = 1 THEN 1 END) AS climbed_accepted,
            WHOLE(SUM(unknown_costs)) AS unknown_costs,
            -- Judged jobs whose every attempt has a price; what others are known to have cost is theirs to bear too.
            COUNT(CASE WHEN verdict IS NOT NULL AND unknown_costs = 0 THEN 1 END) AS priced,
            WHOLE(SUM(CASE WHEN verdict IS NULL OR unknown_costs = 0 THEN cost_nano_usd END)) AS known_nano_usd
        FROM (
            SELECT
                a.task,
                a.requested_model AS model,
                a.job_id,
                COUNT(*) AS attempts,
                -- The best of its ends: a raised limit may have cured a truncated answer.
                CASE
                    MIN(CASE a.outcome
                        WHEN 'answered' THEN 1 WHEN 'refused' THEN 2 WHEN 'invalid' THEN 3 WHEN 'empty' THEN 4
                        WHEN 'truncated' THEN 5 WHEN 'too_long' THEN 6
                    END)
                    WHEN 1 THEN 'answered' WHEN 2 THEN 'refused' WHEN 3 THEN 'invalid' WHEN 4 THEN 'empty'
                    WHEN 5 THEN 'truncated' WHEN 6 THEN 'too_long'
                END AS verdict,
                MAX(CASE WHEN a.reason = 'climb' THEN 1 ELSE 0 END) AS is_climbed,
                COUNT(*) - COUNT(a.cost_nano_usd) AS unknown_costs,
                SUM(
                    CASE a.service_tier
                        WHEN 'batch'
                            THEN 2 * a.cost_nano_usd - COALESCE(a.web_search_nano_usd, 10000000 * a.web_searches, 0)
                        ELSE a.cost_nano_usd
                    END
                ) AS cost_nano_usd
            FROM v_attempts AS a
            WHERE a.opened_at >= DAYS_AGO(30) AND a.closed_at IS NOT NULL AND a.task IS NOT NULL
            GROUP BY a.task, a.requested_model, a.job_id
        ) AS visits
        GROUP BY task, model
    ) AS counted
) AS bounded
