"""The ordered chain of models, and everything known of a model beforehand.

A rung is a position in the chain; rung 0 is the primary. `capabilities` has the parameters that each model accepts.
`deadline` bounds a call in time, `best_start` weighs the rungs for a task kind. Imports `errors`, `outcome`, `text`.
"""
