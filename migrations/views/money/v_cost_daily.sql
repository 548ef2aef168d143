-- What each UTC day's attempts came to, by endpoint, model, task and lane: always exact. A day that is rolled up and
-- unchanged since is read from attempts_daily, every other one from its attempts. The rollup itself reads a day from here
-- before it is fresh.
SELECT
    day, endpoint, model, task, lane, attempts, answered, failed, open, unknown_costs, input_tokens, cache_read_tokens,
    cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, web_searches, cost_nano_usd,
    USD(cost_nano_usd) AS cost_usd,
    CREDITS(cost_nano_usd) AS credits
FROM (
    SELECT
        r.day, r.endpoint, r.model, r.task, r.lane, r.attempts, r.answered, r.failed, r.open, r.unknown_costs, r.input_tokens,
        r.cache_read_tokens, r.cache_write_5m_tokens, r.cache_write_1h_tokens, r.output_tokens, r.web_searches,
        r.cost_nano_usd
    FROM attempts_daily AS r
    WHERE EXISTS (SELECT 1 FROM rolled_days AS fresh WHERE fresh.day = r.day AND NOT fresh.is_stale)
    UNION ALL
    SELECT
        d.day,
        a.endpoint,
        a.model,
        COALESCE(a.task, '') AS task,
        a.lane,
        COUNT(*) AS attempts,
        COUNT(CASE WHEN a.closed_at IS NOT NULL AND a.outcome IN ('answered', 'truncated') THEN 1 END) AS answered,
        COUNT(CASE WHEN a.closed_at IS NOT NULL AND a.outcome NOT IN ('answered', 'truncated') THEN 1 END) AS failed,
        COUNT(CASE WHEN a.closed_at IS NULL THEN 1 END) AS open,
        COUNT(CASE WHEN a.cost_nano_usd IS NULL THEN 1 END) AS unknown_costs,
        WHOLE(SUM(a.input_tokens)) AS input_tokens,
        WHOLE(SUM(a.cache_read_tokens)) AS cache_read_tokens,
        WHOLE(SUM(a.cache_write_5m_tokens)) AS cache_write_5m_tokens,
        WHOLE(SUM(a.cache_write_1h_tokens)) AS cache_write_1h_tokens,
        WHOLE(SUM(a.output_tokens)) AS output_tokens,
        WHOLE(SUM(a.web_searches)) AS web_searches,
        WHOLE(SUM(a.cost_nano_usd)) AS cost_nano_usd
    FROM EACH_DAY(v_attempts, opened_at, a)
    WHERE WITHIN_DAY(a.opened_at)
        AND NOT EXISTS (SELECT 1 FROM rolled_days AS fresh WHERE fresh.day = d.day AND NOT fresh.is_stale)
    GROUP BY d.day, a.endpoint, a.model, COALESCE(a.task, ''), a.lane
) AS days
