"""The parts that protect replies and jobs from a crash.

`spool` keeps each reply on disk before the ledger has the reply. `heartbeat` renews the claims of a living worker.
`rescue` decides about a dead worker's jobs. `liveness` proves that this worker claims jobs. Tests arm `failpoints`.
"""
