-- What the provider's prompt cache held of a batch's prompts, and what that saved.
-- A token read costs a tenth of one of plain input, one written for five minutes 1.25 times, for an hour twice as much:
-- so nine times what was paid for reading was saved, less a fifth and a half of what was paid for writing.
SELECT
    batch_id, model, attempts, input_tokens, read_tokens, written_tokens, unknown_costs, saved_nano_usd,
    USD(saved_nano_usd) AS saved_usd,
    CREDITS(saved_nano_usd) AS credits
FROM (
    SELECT
        a.batch_id,
        a.model,
        COUNT(*) AS attempts,
        WHOLE(SUM(a.input_tokens + a.cache_read_tokens + a.cache_write_5m_tokens + a.cache_write_1h_tokens))
            AS input_tokens,
        WHOLE(SUM(a.cache_read_tokens)) AS read_tokens,
        WHOLE(SUM(a.cache_write_5m_tokens + a.cache_write_1h_tokens)) AS written_tokens,
        COUNT(CASE WHEN a.cache_read_nano_usd IS NULL THEN 1 END) AS unknown_costs,
        WHOLE(
            SUM(a.cache_read_nano_usd) * 9 - SUM(a.cache_write_5m_nano_usd) / 5 - SUM(a.cache_write_1h_nano_usd) / 2
        ) AS saved_nano_usd
    FROM v_attempts AS a
    WHERE a.cache_read_tokens + a.cache_write_5m_tokens + a.cache_write_1h_tokens > 0
    GROUP BY a.batch_id, a.model
) AS summed
