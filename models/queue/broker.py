"""The queue: one for each rung, in Redis through Celery. Messages carry a job's id, never its prompt."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
from celery import Celery
from kombu import Queue
from kombu.exceptions import KombuError, OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.errors import BrokerError
from models.job.values import Unsent
from models.queue.queue_window import QueueWindow
from models.queue.redis_keys import (
    DISPATCHER_LEADER,
    FILLED,
    PREFIX,
    TASK_NAME,
    Lane,
    queue_key,
    queue_name,
    queue_window_key,
)

_MESSAGES_AT_ONCE = 1000
_TIMEOUT_S = 2.0
_WINDOW_KEPT_S = 60  # the figures of a fleet hold so long after its last job
_WINDOW_FIELDS = (("window", b"window"), ("level", b"level"), ("passes", b"passes"))
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


class Broker:
    """Sends jobs to their queues and measures the queues. Raises BrokerError if Redis does not answer.

    `timeout_s` is for each request to Redis: a frozen Redis would keep us for ever.
    """

    def __init__(self, url: str, *, rungs: int, timeout_s: float = _TIMEOUT_S) -> None:
        self.app = celery_app(url, rungs=rungs, timeout_s=timeout_s)
        self._url = url
        self._redis = redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)

    def send(self, jobs: Sequence[Unsent]) -> None:
        """Publish a message for each job, many in one round trip."""
        if not jobs:
            return
        with (
            _broker_errors(),
            self.app.producer_pool.acquire(block=True) as producer,
            producer.batch(max_size=_MESSAGES_AT_ONCE),
        ):
            for job in jobs:
                self._publish(producer, job)
        with _broker_errors(), self._redis.pipeline(transaction=False) as pipeline:
            for rung, count in Counter(job.rung for job in jobs if not job.is_urgent).items():
                pipeline.hincrby(queue_window_key(rung), "level", count)
                pipeline.expire(queue_window_key(rung), _WINDOW_KEPT_S)
            pipeline.execute()

    def _publish(self, producer: Any, job: Unsent) -> None:
        kwargs = {"v": 1, "id": job.id, "rung": job.rung}
        queue = queue_name(None if job.is_urgent else job.rung)
        message = self.app.amqp.as_task_v2(job.id, TASK_NAME, kwargs=kwargs, kwargsrepr=job.id, argsrepr="()")
        producer.publish(
            message.body,
            exchange="",
            routing_key=queue,
            serializer="json",
            headers=message.headers,
            **message.properties,
        )

    def depth(self, lane: Lane) -> int:
        """Count the messages waiting in a rung's queue, or in the queue of urgent jobs."""
        with _broker_errors():
            return int(self._redis.llen(queue_key(lane)))

    def queue_window(self, rung: int) -> QueueWindow:
        """Return the last dispatcher's record of a rung's queue."""
        with _broker_errors():
            kept = self._redis.hgetall(queue_window_key(rung))
        return QueueWindow(**{name: json.loads(kept[key]) for name, key in _WINDOW_FIELDS if key in kept})

    def keep_window(self, rung: int, window: QueueWindow) -> None:
        """Leave the record of a rung's queue to the next dispatcher."""
        with _broker_errors(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hset(
                queue_window_key(rung),
                mapping={
                    "window": window.window,
                    "level": window.level,
                    "passes": json.dumps(dict(window.passes)),
                },
            )
            pipeline.expire(queue_window_key(rung), _WINDOW_KEPT_S)
            pipeline.execute()

    def try_lead(self, holder: str, *, for_s: float) -> bool:
        """Become the leading dispatcher for `for_s` seconds. Returns False if another worker leads."""
        with _broker_errors():
            return bool(self._redis.set(DISPATCHER_LEADER, holder, nx=True, px=int(for_s * 1000)))

    def was_flushed(self) -> bool:
        """Return True once after Redis was emptied: flushed, or started again without its data. True at first, too."""
        with _broker_errors():
            return bool(self._redis.set(FILLED, "1", nx=True))

    def knock(self) -> None:
        """Raise BrokerError if Redis refuses our user or password. A Redis that is away may come back."""
        try:
            self._redis.exists(queue_key(None))
        except (redis.AuthenticationError, redis.ResponseError) as error:
            reason = f"broker: {type(error).__name__}: {error}"
            raise BrokerError(f"{reason}: put the right user and password into REDIS_URL") from error
        except (redis.RedisError, OSError):
            return

    def facts(self) -> dict[str, str]:
        """Return the facts for `doctor`: version, eviction policy, persistence, and whether a password is needed."""
        with _broker_errors():
            server = self._redis.info("server")
            policy = self._redis.config_get("maxmemory-policy")
            append_only = self._redis.config_get("appendonly")
        return {
            "version": f"{server.get('server_name', 'redis')} {server.get('valkey_version', server['redis_version'])}",
            "maxmemory-policy": str(policy.get("maxmemory-policy", "")),
            "appendonly": str(append_only.get("appendonly", "")),
            "open": "yes" if _answers_strangers(self._url) else "no",
        }

    def close(self) -> None:
        """Close all connections."""
        self.app.close()
        self._redis.close()


def server_pid(url: str) -> int | None:
    """Return the process id of the server at `url`. Returns None if the server is away or refuses our password."""
    client = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
    try:
        return int(client.info("server")["process_id"])
    except redis.RedisError:
        return None
    finally:
        client.close()


def end_server(url: str) -> None:
    """Have the server at `url` save its data and end. Do nothing if the server does not answer or refuses."""
    once = Retry(NoBackoff(), 0)
    client = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=once)
    with client, suppress(redis.RedisError):
        client.shutdown()


def _answers_strangers(url: str) -> bool:
    parts = urlsplit(url)
    without_password = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    # The client takes a refusal for a lost connection, and would try again for seconds.
    once = Retry(NoBackoff(), 0)
    stranger = redis.Redis.from_url(
        without_password, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=once
    )
    try:
        stranger.exists(DISPATCHER_LEADER)
    except redis.RedisError:
        return False
    else:
        return True
    finally:
        stranger.close()


@contextmanager
def _broker_errors() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, KombuError, OperationalError, OSError) as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise BrokerError(f"broker: {reason}: is Redis running, and is REDIS_URL right?") from error
