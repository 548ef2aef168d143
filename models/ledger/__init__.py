"""The ledger's writes: each method is one transaction.

`ledger` is what a walk writes. `batches` accepts jobs, `claims` and `leases` give a job to one worker, `budgets`
reserves and settles money. `outbox` knows which jobs need a message, `steps` releases jobs that wait for answers.
"""
