"""Celery's pool of this worker: each message becomes a coroutine of the event loop, at once."""

import json
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from socket import socketpair
from threading import Event
from time import monotonic
from typing import Any, ClassVar

from celery.concurrency.base import BasePool, ExceptionInfo
from celery.exceptions import Ignore
from celery.utils.log import get_logger

from worker.loop import LoopThread

NAME = f"{__name__}:LoopPool"  # by which Celery loads our pool
_LOOK_S = 1.0
_logger = get_logger(__name__)


class LoopPool(BasePool):  # type: ignore[misc]  # celery has no types
    """Begins a job for each message, and reports the job's end in the thread of Celery's own loop.

    `limit` bounds the jobs in flight. Urgent jobs have `urgent_places` more.
    """

    loop: ClassVar[LoopThread]
    urgent_places: ClassVar[int] = 0
    in_flight: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        LoopPool.most = self.limit
        self._ended: deque[Callable[[], object]] = deque()
        self._has_ended = Event()
        self._woken, self._wake = socketpair()

    @classmethod
    def room(cls, *, is_urgent: bool) -> int:
        """Return the number of jobs that could begin now: a message is fetched only to be begun."""
        return max(0, cls.most + (cls.urgent_places if is_urgent else 0) - cls.in_flight)

    def register_with_event_loop(self, hub: Any) -> None:
        """Have Celery's loop report the ends of jobs."""
        hub.add_reader(self._woken, self._report_ended)

    def on_apply(
        self, _target: Any, args: Any, _kwargs: Any = None, *, callback: Any, accept_callback: Any, **_: Any
    ) -> None:
        """Begin the task of a message. `args` are those of Celery's trace: name, id, request, body."""
        name, _id, _request, body, *_ = args
        accept_callback(os.getpid(), monotonic())
        task_args, task_kwargs, _ = json.loads(body)
        job = self.loop.submit(self.app.tasks[name].run(*task_args, **task_kwargs))
        LoopPool.in_flight += 1  # only now: a message that begins no job takes no place
        job.add_done_callback(partial(self._end, callback, monotonic()))

    def on_stop(self) -> None:
        """Wait for the jobs in flight: a job of a stopping worker ends after its present call."""
        while self.in_flight:
            self._has_ended.wait(_LOOK_S)
            self._report_ended()

    def _end(self, callback: Callable[[Any], object], began: float, job: Future[Any]) -> None:
        self._ended.append(partial(callback, _result(job, monotonic() - began)))
        if not self._has_ended.is_set():
            self._wake.send(b"\0")
            self._has_ended.set()

    def _report_ended(self) -> None:
        if self._has_ended.is_set():
            self._woken.recv(1)
            self._has_ended.clear()
        while self._ended:
            LoopPool.in_flight -= 1
            try:
                self._ended.popleft()()
            except Exception as error:  # noqa: BLE001 - the ledger has the job's end; the next jobs have theirs
                _logger.warning("Flower may miss the end of a job: %s: %s", type(error).__name__, error)


def _result(job: Future[Any], runtime_s: float) -> tuple[int, Any, float]:
    """Return the end of a task in the form of Celery's trace: failed or not, result or error, seconds."""
    try:
        return 0, job.result(), runtime_s
    except Exception as error:
        if not isinstance(error, Ignore):
            _logger.exception("a job ended by a mistake of ours")
        return 1, ExceptionInfo(), runtime_s
