"""The events of a streamed answer, on their way through Redis from a worker to the server of the caller.

Any event may be lost: the ledger has the whole answer in the end. A server names the job that its caller waits for.
From then on each worker sends the events of that job's attempts to the channel of the server.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import redis
import redis.asyncio

from models.database.group_thread import GroupThread
from models.ids import new_id
from models.queue.end_signals import signals
from models.queue.redis_keys import LISTENED, LIVE

_TIMEOUT_S = 0.5
_MOST_JOBS = 10_000  # a worker learns of the jobs of other workers, too, and forgets the oldest
_MOST_WAITING = 5_000  # messages for a Redis that is slow: later events are lost
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
ALIVE_EVERY_S = 2.0


class ListenedJobs:
    """The jobs whose events a server wants. The events arrive in `channel`."""

    def __init__(self, url: Callable[[], str | None]) -> None:
        self._url = url
        self._name = new_id()
        self._address: str | None = None
        self._client: redis.asyncio.Redis | None = None
        self.channel = f"{LIVE}{self._name}"

    async def announce(self, job_id: str) -> None:
        """Have the workers send the events of a job. Without Redis nothing is sent."""
        await self._publish(LISTENED, json.dumps({"job": job_id, "to": self._name}))

    async def beat(self) -> None:
        """Send a message to `channel`. A server without its own beats receives no event of a worker either."""
        await self._publish(self.channel, json.dumps({"beat": self._name}))

    async def close(self) -> None:
        """Close the connection."""
        client, self._client, self._address = self._client, None, None
        if client is not None:
            with suppress(redis.RedisError, OSError):
                await client.aclose()

    async def _publish(self, channel: str, text: str) -> None:
        with suppress(redis.RedisError, OSError):
            if (url := self._url()) != self._address:  # an embedded broker that starts again has another address
                await self.close()
            if self._client is None and url is not None:
                self._address, self._client = (
                    url,
                    redis.asyncio.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S),
                )
            if self._client is not None:
                await self._client.publish(channel, text)


class LiveEvents:
    """Sends the events of attempts, from a thread of its own: no answer waits for Redis."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._redis = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        self._group = GroupThread(self._publish, name="live events")
        self._servers: dict[str, set[str]] = {}  # by job, the oldest first
        self._attempts: dict[str, _LiveAttempt] = {}  # in flight

    async def listen(self) -> None:
        """Learn of the jobs that callers wait for, until cancelled."""
        async for found in signals(lambda: self._url, LISTENED):
            match None if found is None else _parsed(found[1]):
                case {"job": str(job_id), "to": str(server)} if _NAME.fullmatch(job_id) and _NAME.fullmatch(server):
                    self._servers.setdefault(job_id, set()).add(server)
                    if len(self._servers) > _MOST_JOBS:
                        del self._servers[next(iter(self._servers))]

    def begin(self, job_id: str, attempt_id: str, *, depth: int) -> Callable[[Mapping[str, Any]], None] | None:
        """Return the function that sends an attempt's events. Returns None if no caller waits for the job.

        `depth` is the fallback depth of the attempt.
        """
        if job_id not in self._servers:
            return None
        attempt = self._attempts[attempt_id] = _LiveAttempt(self, job_id, attempt_id, depth)
        return attempt.send

    def end(self, attempt_id: str, outcome: str) -> None:
        """Record the end of an attempt. The servers of its job receive an end in the middle of an answer."""
        attempt = self._attempts.pop(attempt_id, None)
        if attempt is not None and not attempt.is_whole:
            attempt.put(end=outcome)

    def forget(self, job_id: str) -> None:
        """Forget a job that has ended."""
        self._servers.pop(job_id, None)

    def beat(self) -> None:
        """Send a sign of life for each attempt in flight: a model may think for minutes."""
        for attempt in list(self._attempts.values()):
            attempt.put()

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def put(self, job_id: str, text: str) -> None:
        """Have a message sent to the servers of a job, unless Redis is far behind."""
        for server in tuple(self._servers.get(job_id, ())):
            if self._group.waiting < _MOST_WAITING:
                self._group.put((f"{LIVE}{server}", text), Future[None]())  # nobody waits for an event to be sent

    def _publish(self, group: Sequence[tuple[tuple[str, str], object]]) -> None:
        with suppress(redis.RedisError, OSError), self._redis.pipeline(transaction=False) as pipeline:
            for (channel, text), _ in group:
                pipeline.publish(channel, text)
            pipeline.execute()


class _LiveAttempt:
    """The events of one attempt, numbered from 1: a reader notices a lost event."""

    def __init__(self, live: LiveEvents, job_id: str, attempt_id: str, depth: int) -> None:
        self.is_whole = False
        self._live = live
        self._job_id = job_id
        self._of = {"job": job_id, "attempt": attempt_id, "depth": depth}
        self._count = 0

    def send(self, event: Mapping[str, Any]) -> None:
        """Send the next event."""
        self._count += 1
        self.is_whole = self.is_whole or ends_turn(event)
        self.put(number=self._count, event=event)

    def put(self, **more: Any) -> None:
        """Send a message about the attempt."""
        self._live.put(self._job_id, json.dumps({**self._of, **more}, separators=(",", ":")))


def ends_turn(event: Any) -> bool:
    """Return whether a turn is whole with this event of the provider's."""
    match event:
        case {"type": "message_stop"} | {"delta": {"stop_reason": str()}}:
            return True
    return False


def _parsed(text: str) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return None
