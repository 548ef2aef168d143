-- Known costs by UTC day, endpoint, model, tier, price source, batch and task, each part beside what it was charged for.
-- Attempts whose parts are not known, or do not add up to the cost, or were charged for nothing that was counted, are not `is_split`.
SELECT
    d.day,
    a.endpoint,
    a.model,
    CASE a.service_tier WHEN 'batch' THEN 'batch' ELSE 'standard' END AS tier,
    COALESCE(a.price_source, '') AS price_source,
    a.task,
    a.batch_id,
    CASE
        WHEN a.cost_nano_usd = a.input_nano_usd + a.cache_read_nano_usd + a.cache_write_5m_nano_usd
            + a.cache_write_1h_nano_usd + a.output_nano_usd + a.web_search_nano_usd
            AND (a.input_nano_usd = 0 OR a.input_tokens > 0)
            AND (a.cache_read_nano_usd = 0 OR a.cache_read_tokens > 0)
            AND (a.cache_write_5m_nano_usd = 0 OR a.cache_write_5m_tokens > 0)
            AND (a.cache_write_1h_nano_usd = 0 OR a.cache_write_1h_tokens > 0)
            AND (a.output_nano_usd = 0 OR a.output_tokens > 0)
            AND (a.web_search_nano_usd = 0 OR a.web_searches > 0) THEN 1
        ELSE 0
    END AS is_split,
    COUNT(*) AS attempts,
    WHOLE(SUM(a.input_tokens)) AS input_tokens,
    WHOLE(SUM(a.cache_read_tokens)) AS cache_read_tokens,
    WHOLE(SUM(a.cache_write_5m_tokens)) AS cache_write_5m_tokens,
    WHOLE(SUM(a.cache_write_1h_tokens)) AS cache_write_1h_tokens,
    WHOLE(SUM(a.output_tokens)) AS output_tokens,
    WHOLE(SUM(a.web_searches)) AS web_searches,
    WHOLE(SUM(a.input_nano_usd)) AS input_nano_usd,
    WHOLE(SUM(a.cache_read_nano_usd)) AS cache_read_nano_usd,
    WHOLE(SUM(a.cache_write_5m_nano_usd)) AS cache_write_5m_nano_usd,
    WHOLE(SUM(a.cache_write_1h_nano_usd)) AS cache_write_1h_nano_usd,
    WHOLE(SUM(a.output_nano_usd)) AS output_nano_usd,
    WHOLE(SUM(a.web_search_nano_usd)) AS web_search_nano_usd,
    WHOLE(SUM(a.cost_nano_usd)) AS cost_nano_usd
FROM EACH_DAY(v_attempts, opened_at, a)
WHERE WITHIN_DAY(a.opened_at) AND (a.cost_nano_usd > 0 OR a.input_nano_usd IS NOT NULL)
GROUP BY d.day, a.endpoint, a.model, tier, COALESCE(a.price_source, ''), a.task, a.batch_id, is_split
