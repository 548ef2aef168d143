"""The ledger's writes: each method is one transaction.

`ledger` has the writes of a walk. `batches` accepts jobs, `claims` and `leases` give a job to one worker, `budgets`
reserves and settles money. `outbox` lists the jobs that need a message, `steps` releases jobs that wait for answers.
`job_actions` cancels, retries, pauses and purges, `call_trees` places calls below calls. `job_ends` writes the ends of
attempts and jobs. `message_batches` has the provider's message batches. `batch_counts` has the counts of batches.
"""
