"""The walk of one job through its chain: a pure loop over rungs.

`walk` is the loop. `try_rung` is the pipeline of one rung. `decide` chooses, and `result.follow` draws the consequence.
`rung` and `decision` hold the values. All I/O comes in through `collaborators`. The folder imports the pure files of
`worker.admission` and `worker.provider`.
"""
