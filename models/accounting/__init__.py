"""Money over many attempts: sums, exports, corrections.

`spending` sums by model, task, tag or day, and `daily_rollup` adds finished days up. `price_list` and `repricing`
change prices from a day on. `adhoc_sql` runs a person's query in a separate process. Imports `models.ledger` and below.
"""
