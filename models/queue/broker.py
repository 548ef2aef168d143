"""The queue: one for each rung, in Redis. Messages carry a job's id, never its prompt."""

import json
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.errors import BrokerError
from models.job.values import Unsent
from models.queue.queue_window import QueueWindow
from models.queue.redis_keys import (
    BATCH_QUEUE,
    DISPATCHER_LEADER,
    FILLED,
    LANE_LEADER,
    PREFIX,
    Lane,
    queue_key,
    queue_name,
    queue_window_key,
    task_of,
)

_MESSAGES_AT_ONCE = 1000
_TIMEOUT_S = 2.0
_WINDOW_KEPT_S = 60  # the figures of a fleet hold so long after its last job
_HEADERS: dict[str, Any] = {
    "lang": "py",
    "argsrepr": "()",
    "retries": 0,
    "timelimit": [None, None],
    "ignore_result": False,
    "replaced_task_nesting": 0,
    "stamps": {},
    **dict.fromkeys(("shadow", "eta", "expires", "group", "group_index", "parent_id", "origin", "stamped_headers")),
}
_WINDOW_FIELDS = (("window", b"window"), ("level", b"level"), ("passes", b"passes"))


class Broker:
    """Sends jobs to their queues and measures the queues. Raises BrokerError if Redis does not answer.

    `timeout_s` is for each request to Redis: a frozen Redis would keep us for ever.
    """

    def __init__(self, url: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._url = url
        self._redis = redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)

    def send(self, jobs: Sequence[Unsent]) -> None:
        """Push a message for each job, a thousand in one round trip."""
        for start in range(0, len(jobs), _MESSAGES_AT_ONCE):
            self._push(jobs[start : start + _MESSAGES_AT_ONCE])

    def _push(self, jobs: Sequence[Unsent]) -> None:
        lanes: defaultdict[Lane, list[str]] = defaultdict(list)
        for job in jobs:
            lane = None if job.is_urgent else job.rung
            message = task_message(queue_name(lane), {"v": 1, "id": job.id, "rung": job.rung})
            lanes[lane].append(json.dumps(message))
        with _broker_errors(), self._redis.pipeline(transaction=False) as pipeline:
            for lane, messages in lanes.items():
                pipeline.lpush(queue_key(lane), *messages)
                if lane is not None:
                    pipeline.hincrby(queue_window_key(lane), "level", len(messages))
                    pipeline.expire(queue_window_key(lane), _WINDOW_KEPT_S)
            pipeline.execute()

    def send_message_batches(self, batch_ids: Sequence[str]) -> int:
        """Push a message for each message batch that needs a call, unless earlier ones wait. Returns their number."""
        messages = [json.dumps(task_message(BATCH_QUEUE, {"v": 1, "id": batch_id})) for batch_id in batch_ids]
        with _broker_errors():
            if not messages or self._redis.llen(f"{PREFIX}{BATCH_QUEUE}"):
                return 0
            self._redis.lpush(f"{PREFIX}{BATCH_QUEUE}", *messages)
        return len(messages)

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
        return self._lead(DISPATCHER_LEADER, holder, for_s)

    def try_lead_lane(self, holder: str, *, for_s: float) -> bool:
        """Become the maker of message batches for `for_s` seconds. Returns False if another worker is."""
        return self._lead(LANE_LEADER, holder, for_s)

    def _lead(self, key: str, holder: str, for_s: float) -> bool:
        with _broker_errors():
            return bool(self._redis.set(key, holder, nx=True, px=int(for_s * 1000)))

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
        self._redis.close()


def task_message(queue: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message of Celery's protocol 2 for a queue's task, laid out as by Celery's own Redis transport.

    The id of the job in `kwargs` is the task's id, and all that Flower shows of the arguments.
    """
    job_id = kwargs["id"]
    body = json.dumps([[], kwargs, dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))])
    return {
        "body": b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": _HEADERS | {"task": task_of(queue), "id": job_id, "root_id": job_id, "kwargsrepr": job_id},
        "properties": {
            "correlation_id": job_id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }


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
    except (redis.RedisError, OSError) as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise BrokerError(f"broker: {reason}: is Redis running, and is REDIS_URL right?") from error
