"""Everything that a crash must not lose.

`spool` keeps each reply on disk before the ledger has it, `lease` renews the claims of a living worker. `rescue`
decides what becomes of a dead worker's jobs, `heartbeat` proves that this worker claims jobs. Tests arm `failpoints`.
"""
