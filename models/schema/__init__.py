"""The tables of the ledger, one file a table.

`columns` has the kinds of columns: nano-dollars, UTC times, JSON that round-trips anything. Each file also converts its
values to rows. Imports `models.job` and below.
"""
