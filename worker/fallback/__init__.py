"""The walk of one job through its chain: a pure loop over rungs.

`walk` is the loop, `try_rung` one turn, `decide` the choice after it. Everything with I/O comes in through
`collaborators`. Imports `worker.admission` and `worker.provider`, and of them only what is pure.
"""
