"""From Redis to a coroutine: our Redis transport and our pool for Celery, and the lane of urgent jobs."""
