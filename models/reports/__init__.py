"""Questions about jobs and models, answered as values.

`jobs` reads batches and answers, `batch_counts` the counts of one batch, `waits` the causes of waiting, `health` the
primary's day. `batch_history` measures message batches. `job_history` reads the past once: `learned_starts`,
`token_history` and `what_if` learn from that. `cheaper_models` compares each rung with other models of its family.
Imports `models.accounting` and below.
"""
