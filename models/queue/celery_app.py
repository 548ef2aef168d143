"""Celery's app over the queues: the worker's, and the plain Celery that benchmarks compare."""

from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery
from kombu import Queue

from models.queue.redis_keys import PREFIX, queue_name

_TIMEOUT_S = 2.0
_TRANSPORT = {
    "global_keyprefix": PREFIX,
    # A sender must fail at once if no Redis is there: Kombu would try again for 6 s.
    "max_retries": 1,
    "interval_start": 0,
}


def route(_name: str, _args: Sequence[Any], kwargs: Mapping[str, Any], *_rest: Any, **_more: Any) -> dict[str, str]:
    """Return the queue of a job's rung, for a new or returning job. Celery calls this for every message."""
    return {"queue": queue_name(kwargs.get("rung", 0))}


def celery_app(url: str, *, rungs: int, timeout_s: float = _TIMEOUT_S) -> Celery:
    """Configure Celery for producer and worker alike, which share these queues and one task name."""
    waits = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
    }
    app = Celery("stepdown", broker=url, set_as_current=False)
    app.conf.update(
        task_queues=[Queue(queue_name(rung), routing_key=queue_name(rung)) for rung in range(rungs)],
        task_default_queue=queue_name(0),
        task_routes=(route,),
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # A message only wakes a worker: the claim in SQL decides, so a message is acknowledged on receipt.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        broker_transport_options=_TRANSPORT | waits,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
    )
    return app
