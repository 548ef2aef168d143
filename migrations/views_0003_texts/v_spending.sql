-- Known costs by UTC day, model, price source, batch and task, each part beside what it was charged for. An attempt whose
-- parts are not known, or do not add up to its cost, is among the `unsplit`.
SELECT
    d.day,
    a.model,
    COALESCE(a.price_source, '') AS price_source,
    a.task,
    a.batch_id,
    COUNT(*) AS attempts,
    WHOLE(SUM(CASE WHEN a.is_split THEN a.input_tokens END)) AS input_tokens,
    WHOLE(SUM(CASE WHEN a.is_split THEN a.cache_read_tokens END)) AS cache_read_tokens,
    WHOLE(SUM(CASE WHEN a.is_split THEN a.cache_write_5m_tokens END)) AS cache_write_5m_tokens,
    WHOLE(SUM(CASE WHEN a.is_split THEN a.cache_write_1h_tokens END)) AS cache_write_1h_tokens,
    WHOLE(SUM(CASE WHEN a.is_split THEN a.output_tokens END)) AS output_tokens,
    WHOLE(SUM(CASE WHEN a.is_split THEN a.web_searches END)) AS web_searches,
    COUNT(CASE WHEN NOT a.is_split THEN 1 END) AS unsplit,
    WHOLE(SUM(CASE WHEN a.is_split THEN a.input_nano_usd END)) AS input_nano_usd,
    WHOLE(SUM(CASE WHEN a.is_split THEN a.cache_read_nano_usd END)) AS cache_read_nano_usd,
    WHOLE(SUM(CASE WHEN a.is_split THEN a.cache_write_5m_nano_usd END)) AS cache_write_5m_nano_usd,
    WHOLE(SUM(CASE WHEN a.is_split THEN a.cache_write_1h_nano_usd END)) AS cache_write_1h_nano_usd,
    WHOLE(SUM(CASE WHEN a.is_split THEN a.output_nano_usd END)) AS output_nano_usd,
    WHOLE(SUM(CASE WHEN a.is_split THEN a.web_search_nano_usd END)) AS web_search_nano_usd,
    WHOLE(SUM(CASE WHEN NOT a.is_split THEN a.cost_nano_usd END)) AS unsplit_nano_usd,
    WHOLE(SUM(a.cost_nano_usd)) AS cost_nano_usd
FROM v_days AS d
CROSS JOIN (
    SELECT
        *,
        COALESCE(
            cost_nano_usd = input_nano_usd + cache_read_nano_usd + cache_write_5m_nano_usd + cache_write_1h_nano_usd
                + output_nano_usd + web_search_nano_usd
            AND (input_nano_usd = 0 OR input_tokens > 0)
            AND (cache_read_nano_usd = 0 OR cache_read_tokens > 0)
            AND (cache_write_5m_nano_usd = 0 OR cache_write_5m_tokens > 0)
            AND (cache_write_1h_nano_usd = 0 OR cache_write_1h_tokens > 0)
            AND (output_nano_usd = 0 OR output_tokens > 0)
            AND (web_search_nano_usd = 0 OR web_searches > 0),
            1 = 0
        ) AS is_split
    FROM v_attempts
) AS a
WHERE a.opened_at >= d.since AND a.opened_at < d.until AND (a.cost_nano_usd > 0 OR a.is_split)
GROUP BY d.day, a.model, COALESCE(a.price_source, ''), a.task, a.batch_id
