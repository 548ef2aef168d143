"""Work that recurs, each task on a `timer`.

The `dispatcher` sends messages for jobs that are due; one worker leads. The `rescuer` takes over jobs whose lease
ended; `health_alarm` looks at the primary, `rollup` adds finished days up.
"""
