"""From Redis to a thread: our Redis transport for Celery, and the lane of urgent jobs."""
