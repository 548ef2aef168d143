"""`stepdown ledger reconcile`: the ledger beside the provider's own report."""
