"""The one Celery task. Its arguments are a version and a job's id, its result is one line for Flower."""

from typing import Any

from celery import Celery
from celery.exceptions import Ignore

from models.queue.redis_keys import TASK_NAME
from worker.run import DROPPED, Worker, run

_VERSION = 1


def register(app: Celery, worker: Worker) -> None:
    """Give the app its task, run by this worker."""

    @app.task(name=TASK_NAME, shared=False)  # another app of this process would use this worker, too
    def run_job(*, v: int, id: str, **_later: Any) -> str:  # noqa: A002 - the word in the message
        # What a later version adds to the message is ignored; the row it names has all that matters.
        if v != _VERSION:
            return f"refused: a message of version {v}, this worker reads {_VERSION}"
        message = run(str(id), worker)
        if message == DROPPED:  # another delivery tells Flower of this job, and no end of ours may stand over its own
            raise Ignore(message)
        return message
