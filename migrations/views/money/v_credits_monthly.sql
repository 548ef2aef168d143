-- What each month of UTC days came to. A credit is a cent; it is never rounded.
SELECT
    MONTH(day) AS month,
    WHOLE(SUM(attempts)) AS attempts,
    WHOLE(SUM(unknown_costs)) AS unknown_costs,
    WHOLE(SUM(cost_nano_usd)) AS cost_nano_usd,
    USD(WHOLE(SUM(cost_nano_usd))) AS cost_usd,
    CREDITS(WHOLE(SUM(cost_nano_usd))) AS credits
FROM v_cost_daily
GROUP BY MONTH(day)
