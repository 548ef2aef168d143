"""Money over many attempts: sums, exports, corrections.

`spending` answers by model, task, tag or day; `daily_rollup` adds finished days up; `price_list` and `repricing` change
prices from a day on; `adhoc_sql` runs a person's query in a process of its own. Imports `models.ledger` and below.
"""
