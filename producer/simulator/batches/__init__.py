"""The message batches of a workspace: created, run, cancelled, expired, read and deleted."""
