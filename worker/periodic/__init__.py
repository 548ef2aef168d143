"""Work that recurs, each task on a `timer`.

The `dispatcher` sends messages for jobs that are due; one worker leads. The `rescuer` takes over jobs whose lease
ended. `health_alarm` judges the primary, and `rollup` adds finished days up.
"""
