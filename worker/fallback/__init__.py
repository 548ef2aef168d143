"""The walk of one job through its chain: a pure loop over rungs.

`walk` is the loop. `try_rung` is the pipeline of one rung. `decide` chooses, and `result.follow` draws the consequence.
`make_attempt` calls, `check_answer` judges the answer, `longer_answer` asks for a longer answer. `wait_or_step` chooses
for a rung without a call, `caps` names the caps over a call. `rung` and `decision` hold the values. All I/O comes in
through `collaborators`. The folder imports the pure files of `worker.admission` and `worker.provider`.
"""
