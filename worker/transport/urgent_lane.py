"""Two lanes from the broker to the threads: urgent jobs have their own queue, channel and threads."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from celery import Celery, bootsteps
from celery.concurrency import ALIASES, thread
from celery.concurrency.base import apply_target
from kombu import Consumer, Queue

from models.queue.redis_keys import queue_name

_URGENT = queue_name(None)


def install(app: Celery, *, urgent_threads: int) -> None:
    """Set our pool, which Celery knows as `threads`, and the urgent lane for the worker of this process."""
    TaskPool.urgent_threads = UrgentLane.urgent_threads = urgent_threads
    ALIASES["threads"] = f"{__name__}:{TaskPool.__name__}"
    app.conf.worker_pool = "threads"
    app.steps["consumer"].add(UrgentLane)


class TaskPool(thread.TaskPool):  # type: ignore[misc]  # celery has no types
    """Celery's threads, and a few more that only urgent jobs may use. They may use the others, too, and go first."""

    urgent_threads = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept = ThreadPoolExecutor(self.urgent_threads, thread_name_prefix=_URGENT)
        self._urgent: deque[Callable[[], object]] = deque()

    def on_apply(
        self,
        target: Any,
        args: Any = None,
        kwargs: Any = None,
        callback: Any = None,
        accept_callback: Any = None,
        **_: Any,
    ) -> thread.ApplyResult:
        """Hand a message to whichever thread is free first."""
        job = partial(apply_target, target, args, kwargs, callback, accept_callback)
        if not _is_urgent(args):
            return thread.ApplyResult(self.executor.submit(self._after_urgent, job))
        self._urgent.append(job)
        self.executor.submit(self._next_urgent)  # the later of the two finds no job
        return thread.ApplyResult(self._kept.submit(self._next_urgent))

    def on_stop(self) -> None:
        """Let begun jobs end, and begin no other job: fetched messages go back to their queue."""
        self._urgent.clear()
        self._kept.shutdown(wait=False, cancel_futures=True)
        super().on_stop()
        self._kept.shutdown()

    def _after_urgent(self, job: Callable[[], object]) -> None:
        try:
            while self._next_urgent():
                pass
        finally:
            job()

    def _next_urgent(self) -> bool:
        try:
            job = self._urgent.popleft()
        except IndexError:
            return False
        job()
        return True


def _is_urgent(args: Any) -> bool:
    # The arguments of Celery's trace: the task's name and id, the request with its delivery, and more.
    _, _, request, *_ = args
    return bool(request["delivery_info"]["routing_key"] == _URGENT)


class UrgentLane(bootsteps.ConsumerStep):  # type: ignore[misc]
    """Receives urgent messages by a channel of its own, which stays open while fetched bulk messages close theirs."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    urgent_threads = 1

    def start(self, c: Any) -> None:
        """Begin to receive, with Celery's own handling of a message; `c` is Celery's consumer."""
        channel = c.connection.channel()
        # No other worker can begin a fetched message: the lane fetches no more messages than its threads.
        channel.basic_qos(0, self.urgent_threads, False)
        queue = Queue(_URGENT, routing_key=_URGENT)
        handle, discard = c.create_task_handler(), c.on_decode_error
        self.consumers = [Consumer(channel, [queue], on_message=handle, on_decode_error=discard, accept=["json"])]
        self.consumers[0].consume()
