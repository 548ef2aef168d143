"""The Celery tasks. The arguments are a version and an id, the result is one line for Flower."""

from typing import Any

from celery import Celery
from celery.exceptions import Ignore

from models.queue.redis_keys import BATCH_TASK_NAME, TASK_NAME
from worker.half_price import work as message_batch
from worker.half_price.lane import Lane
from worker.run import DROPPED, Worker, run

_VERSION = 1


def register(app: Celery, worker: Worker, lane: Lane) -> None:
    """Register the tasks of the app, run by this worker: a job, and a call about a message batch."""

    @app.task(name=TASK_NAME, shared=False)  # another app of this process would use this worker, too
    async def run_job(*, v: int, id: str, **_later: Any) -> str:  # noqa: A002 - the word in the message
        # Fields of later versions are ignored; the row of the job has every fact that matters.
        if v != _VERSION:
            return f"refused: a message of version {v}, this worker reads {_VERSION}"
        message = await run(str(id), worker)
        if message == DROPPED:  # another delivery reports this job to Flower, and our end may not replace its end
            raise Ignore(message)
        return message

    @app.task(name=BATCH_TASK_NAME, shared=False)
    async def call_message_batch(*, v: int, id: str, **_later: Any) -> str:  # noqa: A002 - the word in the message
        if v != _VERSION:
            return f"refused: a message of version {v}, this worker reads {_VERSION}"
        message = await message_batch.work(str(id), lane)
        if message == message_batch.DROPPED:
            raise Ignore(message)
        return message
