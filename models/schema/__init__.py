"""The tables of the ledger, one file a table.

`columns` has the kinds of columns: nano-dollars, UTC times, JSON that round-trips anything. A value and its row are
laid out here. Imports `models.job` and below.
"""
