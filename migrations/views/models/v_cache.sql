-- What the provider's prompt cache held of a batch's prompts, and what that saved: what its tokens would have cost as
-- plain input, at the rate that the same attempt paid for its plain input, less what was paid to read and to write them.
-- An attempt without a cost, or without a token of plain input to tell the rate, is counted, and not in the sum.
SELECT
    batch_id, model, attempts, input_tokens, read_tokens, written_tokens, unknown_costs, saved_nano_usd,
    USD(saved_nano_usd) AS saved_usd,
    CREDITS(saved_nano_usd) AS credits
FROM (
    SELECT
        each_one.batch_id,
        each_one.model,
        COUNT(*) AS attempts,
        WHOLE(SUM(each_one.input_tokens + each_one.cached_tokens)) AS input_tokens,
        WHOLE(SUM(each_one.read_tokens)) AS read_tokens,
        WHOLE(SUM(each_one.cached_tokens - each_one.read_tokens)) AS written_tokens,
        COUNT(*) - COUNT(each_one.saved_nano_usd) AS unknown_costs,
        WHOLE(SUM(each_one.saved_nano_usd)) AS saved_nano_usd
    FROM (
        SELECT
            a.batch_id,
            a.model,
            a.input_tokens,
            a.cache_read_tokens AS read_tokens,
            a.cache_read_tokens + a.cache_write_5m_tokens + a.cache_write_1h_tokens AS cached_tokens,
            CASE
                WHEN a.cache_read_tokens + a.cache_write_5m_tokens + a.cache_write_1h_tokens = 0 THEN 0
                ELSE
                    (a.cache_read_tokens + a.cache_write_5m_tokens + a.cache_write_1h_tokens)
                    * a.input_nano_usd / NULLIF(a.input_tokens, 0)
                    - a.cache_read_nano_usd - a.cache_write_5m_nano_usd - a.cache_write_1h_nano_usd
            END AS saved_nano_usd
        FROM v_attempts AS a
        WHERE a.input_tokens IS NOT NULL
    ) AS each_one
    GROUP BY each_one.batch_id, each_one.model
    HAVING SUM(each_one.cached_tokens) > 0
) AS summed
