"""The ledger's database: `engine` opens SQLite or Postgres and bounds each transaction.

`compiled_sql` runs statements that are compiled once, `group_commit` writes the operations that wait in one commit.
"""
