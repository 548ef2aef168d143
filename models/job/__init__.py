"""A job's life as values, without any I/O.

`values` has a walk's input and output, `task_kinds` the terms of a task kind, `answer_checks` the checks of an
answer. `map_reduce` and `call_tree` relate jobs to each other. Imports `models.chain` and `models.money`.
"""
