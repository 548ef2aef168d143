"""A job's life as values, without any I/O.

`values` has what a walk reads and writes, `task_kinds` the terms of a task kind, `answer_checks` what an answer must
pass, `map_reduce` and `call_tree` how jobs hang together. Imports `models.chain` and `models.money`.
"""
