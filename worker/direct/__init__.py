"""A call without a queue, in the caller's own process: the same walk, the same ledger."""
