"""Celery's transport to Redis, which survives any value that other programs put into our queues.

Redis is open to other programs. So a worker takes from a message the id of a job and nothing else. Each message for
Celery is made anew here. A value without an id is discarded.
"""

import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable
from queue import Empty
from typing import Any
from uuid import uuid4

from kombu.transport import TRANSPORT_ALIASES, redis

from models.queue.broker import task_message
from models.queue.redis_keys import BATCH_QUEUE, queue_name, task_of
from worker.events import MessageDiscarded
from worker.logs import log

_URGENT = queue_name(None)
_OUR_QUEUE = re.compile(rf"{_URGENT}|{BATCH_QUEUE}|rung-[0-9]{{1,4}}")
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AT_ONCE = 100  # messages of one round trip: the loop has other work, and other workers want some
_LONGEST_BODY = 16 * 1024  # ours has 150 bytes
_DISCARDED: Counter[str] = Counter()  # by reason


class NotAMessageError(ValueError):
    """A value in a queue is no message of ours. The text is the reason, without any part of the value."""


class QoS(redis.QoS):  # type: ignore[misc]  # kombu has no types
    """Keeps no record of fetched messages: a message only wakes a worker, and the dispatcher sends a lost one again."""

    def append(self, message: Any, delivery_tag: Any) -> None:
        """Forget the message."""

    def ack(self, delivery_tag: Any) -> None:
        """Have nothing to forget."""

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """Have nothing to put back: the dispatcher sends the job again."""

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """Restore nothing."""


class Channel(redis.Channel):  # type: ignore[misc]
    """Survives a value that is no message, for which Kombu would end the worker with every call in flight.

    `room` returns how many more messages may be fetched, for urgent jobs or others. A worker that is not fit fetches
    no message: such a worker would take messages faster, without an answer.
    """

    room: Callable[..., int]
    QoS = QoS

    def _brpop_start(self, timeout: int | None = None) -> None:
        # Kombu asks again in each turn of the loop.
        if self.room(is_urgent=self._is_urgent):
            super()._brpop_start(timeout)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return self._bearing(super()._brpop_read, **options) and self._read_more()
        except self.ResponseError:
            if not self._renamed(self.active_queues):
                raise
            return True

    def _read_more(self) -> bool:
        """Fetch more messages of the same queue, as many as jobs could begin now, in one round trip."""
        queue = self._queue_cycle.items[-1]  # Kombu puts the queue of a message last
        if room := min(_AT_ONCE, self.room(is_urgent=self._is_urgent)):
            for value in self.client.rpop(self._q_for_pri(queue, 0), room) or ():
                self._bearing(self._deliver_value, queue, value)
        return True

    def _deliver_value(self, queue: str, value: bytes) -> None:
        self.connection._deliver(json.loads(value), queue)  # noqa: SLF001 - as Kombu's channel does

    @property
    def _is_urgent(self) -> bool:
        return _URGENT in self.active_queues

    def queue_declare(self, queue: str | None = None, *rest: Any, **options: Any) -> Any:
        """Declare a queue of ours, even if another value has the name of the queue."""
        self._renamed({queue or ""} if _OUR_QUEUE.fullmatch(queue or "") else set())
        return super().queue_declare(queue, *rest, **options)

    def _renamed(self, queues: Iterable[str]) -> int:
        """Rename values that have the name of a queue and are no list: such a value blocks sending and fetching."""
        names = [self._q_for_pri(queue, priority) for queue in queues for priority in self.priority_steps]
        count = 0
        with self.conn_or_acquire() as client:
            for key in (f"{self.global_keyprefix}{name}" for name in names):
                if client.type(key) not in {b"list", b"none"}:
                    client.rename(key, f"{key}.no-queue-{uuid4()}")
                    _discard("it stood in the place of a queue; its key was renamed")
                    count += 1
        return count

    def _receive_one(self, *arguments: Any) -> Any:  # messages to all workers: questions of Flower's, and events
        return self._bearing(super()._receive_one, *arguments)

    def _bearing(self, read: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return read(*arguments, **options)
        except (Empty, self.ResponseError, *self.connection_errors):
            raise
        except NotAMessageError as error:
            _discard(str(error))
        except Exception as error:  # noqa: BLE001 - what Kombu's decoding raises depends on the value alone
            _discard(type(error).__name__)
        return True


class Transport(redis.Transport):  # type: ignore[misc]
    """Kombu's own, with our channel."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        if _OUR_QUEUE.fullmatch(queue):
            version, job_id = _read(message, task_of(queue))
            message = task_message(queue, {"v": version, "id": job_id})
        super()._deliver(message, queue)


def install(room: Callable[..., int]) -> None:
    """Use our transport for each redis:// or rediss:// URL of this process: a worker has the process for itself."""
    Channel.room = staticmethod(room)
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


def _read(message: Any, task_name: str) -> tuple[int, str]:
    """Return the version and the job id of a message. Raises NotAMessageError if an id is missing."""
    match message:
        case {
            "content-type": "application/json",
            "headers": {"task": task},
            "properties": {"body_encoding": "base64"},
            "body": str(body),
        }:
            pass
        case _:
            raise NotAMessageError("its fields are not those of a message")
    if task != task_name:
        raise NotAMessageError("it is for another task")
    if len(body) > _LONGEST_BODY:
        raise NotAMessageError("its body is too long")
    try:
        held = json.loads(b64decode(body, validate=True))
    except (ValueError, RecursionError):
        raise NotAMessageError("its body is no JSON") from None
    match held:
        case [_, {"v": int(version), "id": str(job_id)}, _] if _JOB_ID.fullmatch(job_id):
            return version, job_id
        case _:
            raise NotAMessageError("it names no job")


def _discard(message: str) -> None:
    _DISCARDED[message] += 1
    count = _DISCARDED[message]
    if count == 10 ** (len(str(count)) - 1):  # the first of a kind, the tenth, the hundredth: others may send many
        log(MessageDiscarded(message=message, count=count))
