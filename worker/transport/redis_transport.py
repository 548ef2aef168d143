"""Celery's transport to Redis, which survives any value that other programs put into our queues.

Redis is open to other programs. So a worker takes from a message the id of a job and nothing else. Each message for
Celery is made anew here. A value without an id is discarded before Celery counts the value as fetched.
"""

import json
import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterable
from queue import Empty
from typing import Any
from uuid import uuid4

from kombu.transport import TRANSPORT_ALIASES, redis

from models.queue.redis_keys import TASK_NAME
from worker.events import MessageDiscarded
from worker.logs import log

_OUR_QUEUE = re.compile(r"urgent|rung-[0-9]{1,4}")
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_BODY = 16 * 1024  # ours has 150 bytes
_DISCARDED: Counter[str] = Counter()  # by reason


class NotAMessageError(ValueError):
    """A value in a queue is no message of ours. The text is the reason, without any part of the value."""


class QoS(redis.QoS):  # type: ignore[misc]  # kombu has no types
    """Restores the messages that a lost worker had fetched, but for values that are no messages of ours."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Put a message back into its queue, or drop a value that is no message."""
        with self.channel.conn_or_acquire(client) as connected:
            stored = connected.hget(self.unacked_key, tag)
        try:
            if stored is not None:
                _check_stored(stored)
        except NotAMessageError as error:
            self._remove_from_indices(tag).execute()
            _discard(str(error))
        else:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)


class Channel(redis.Channel):  # type: ignore[misc]
    """Survives a value that is no message, and a connection that went while a message was at work.

    Kombu would end the worker over either, with every call in flight. A worker that is not fit asks for no message:
    such a worker would take messages faster, without an answer.
    """

    is_fit: Callable[[], bool] = staticmethod(lambda: True)
    QoS = QoS

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], *rest: Any, **options: Any
    ) -> Any:
        """Consume, and acknowledge a message at which Celery fails: unacknowledged messages block further fetching."""

        def acknowledging(message: Any) -> Any:
            try:
                return callback(message)
            except self.connection_errors:
                raise
            except Exception:
                if not (no_ack or message.acknowledged):
                    message.ack()
                raise

        return super().basic_consume(queue, no_ack, acknowledging, *rest, **options)

    def _brpop_start(self, timeout: int | None = None) -> None:
        # Kombu asks again in each turn of the loop.
        if Channel.is_fit():
            super()._brpop_start(timeout)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return self._bearing(super()._brpop_read, **options)
        except self.ResponseError:
            if not self._renamed(self.active_queues):
                raise
            return True

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

    def _connparams(self, *arguments: Any, **options: Any) -> Any:
        # A message acknowledged after its connection was given up has no connection. A ConnectionError is expected by
        # the code that acknowledges; an AttributeError ends the worker.
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("the connection that this message came by is gone")
        return super()._connparams(*arguments, **options)


class Transport(redis.Transport):  # type: ignore[misc]
    """Kombu's own, with our channel."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        super()._deliver(_made_anew(message, queue) if _OUR_QUEUE.fullmatch(queue) else message, queue)


def install() -> None:
    """Use our transport for each redis:// or rediss:// URL of this process: a worker has the process for itself."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


def _made_anew(message: Any, queue: str) -> dict[str, Any]:
    """Make a new message of another's version and job id. Raises NotAMessageError if an id is missing."""
    version, job_id = _read(message)
    kwargs = {"v": version, "id": job_id}
    none = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
    empty = dict.fromkeys(("shadow", "eta", "expires", "group", "parent_id", "origin"))
    headers = {
        "lang": "py",
        "task": TASK_NAME,
        "id": job_id,
        "root_id": job_id,
        "retries": 0,
        "timelimit": [None, None],
    }
    return {
        "body": b64encode(json.dumps([[], kwargs, none]).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {**headers, **empty, "argsrepr": "()", "kwargsrepr": job_id},
        "properties": {
            "correlation_id": job_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }


def _read(message: Any) -> tuple[int, str]:
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
    if task != TASK_NAME:
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


def _check_stored(stored: bytes | str) -> None:
    """Raise NotAMessageError if a value noted as fetched is no message, or is of another queue."""
    try:
        held = json.loads(stored)
    except (ValueError, RecursionError):
        raise NotAMessageError("what was fetched is no JSON") from None
    match held:
        case [message, "", str(queue)] if _OUR_QUEUE.fullmatch(queue):
            _read(message)
        case _:
            raise NotAMessageError("what was fetched is of no queue of ours")


def _discard(message: str) -> None:
    _DISCARDED[message] += 1
    count = _DISCARDED[message]
    if count == 10 ** (len(str(count)) - 1):  # the first of a kind, the tenth, the hundredth: others may send many
        log(MessageDiscarded(message=message, count=count))
