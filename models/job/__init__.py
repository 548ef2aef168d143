"""A job's life as values, without any I/O.

`values` has the input and output of a walk, `task_kinds` the terms of a kind, `answer_checks` the checks of an
answer. `map_reduce` and `call_tree` relate jobs to each other. Imports `models.chain` and `models.money`.
"""
