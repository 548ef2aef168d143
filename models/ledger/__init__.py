"""The ledger's writes: each method is one transaction.

`ledger` has the writes of a walk. `batches` accepts jobs, `claims` and `leases` give a job to one worker, `budgets`
reserves and settles money. `outbox` lists the jobs that need a message, `steps` releases jobs that wait for answers.
`job_actions` cancels, retries, pauses and purges, `call_trees` places calls below calls. `database` opens the database,
`compiled_sql` runs the statements of every job. `batch_counts` counts the jobs of large batches as they end.
"""
