"""Text for people: tables, progress, money, dates; files written whole or not at all.

`format` draws money, rates and bars. `table` draws tables, `terminal` makes text fit to be shown. `watch` follows a
batch. `batch_lines`, `wait_lines` and `spending_report` lay reports out. `cells` makes a cell safe for spreadsheets,
`export_file` writes CSV and Parquet, `atomic_file` writes a file whole.
"""
