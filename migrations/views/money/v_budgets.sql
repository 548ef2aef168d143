-- Every cap, and what of it is gone: spent, of calls whose end nobody saw at most, and of calls in flight at most.
SELECT
    scope,
    day,
    cap_nano_usd,
    spent_nano_usd,
    unknown_nano_usd,
    reserved_nano_usd,
    cap_nano_usd - spent_nano_usd - unknown_nano_usd - reserved_nano_usd AS left_nano_usd,
    USD(cap_nano_usd) AS cap_usd,
    USD(spent_nano_usd) AS spent_usd,
    USD(unknown_nano_usd) AS unknown_usd,
    USD(reserved_nano_usd) AS reserved_usd,
    USD((cap_nano_usd - spent_nano_usd - unknown_nano_usd - reserved_nano_usd)) AS left_usd
FROM budgets
