"""Questions about jobs and models, answered as values.

`jobs` reads batches and answers, `waits` the causes of waiting, `job_history`, `token_history` and `learned_starts` the
past, `health` the primary's day. Imports `models.accounting` and below.
"""
