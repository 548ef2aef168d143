"""A bare Celery worker: the same pool and the same Celery settings, and a task that does nothing."""

import os
from pathlib import Path
from typing import Any

from models.queue.celery_app import celery_app

app = celery_app(os.environ["REDIS_URL"], rungs=1)


@app.task(name="bench.noop")
def noop(*, done: str | None = None, **_kwargs: Any) -> str:
    """Do nothing; the last one of a run leaves a file."""
    if done is not None:
        Path(done).touch()
    return "ok"
