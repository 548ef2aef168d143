"""Redis: the queues, the messages, and every key.

`broker` sends and counts messages, `celery_app` is Celery's app over the queues, `redis_keys` has all names.
`embedded_redis` runs a Valkey if there is no Redis. `fair_share` and `queue_window` divide a queue between batches.
`liveness` holds the proofs of living workers, and `throttles` reads the models that are held back. `end_signals`
carries the ends of jobs that callers wait for. `live_events` carries the events of answers that callers read as a
stream. Imports `models.settings` and below.
"""
