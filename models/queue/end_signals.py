"""A signal for each end of a job that a caller waits for. A signal may be lost, so that waiting callers also look."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future
from contextlib import aclosing, suppress

import redis
import redis.asyncio

from models.database.group_thread import GroupThread
from models.queue.redis_keys import ENDS

_TIMEOUT_S = 0.5
_AGAIN_S = 1.0  # while Redis is away, the listener looks for Redis so often


class EndSignals:
    """Sends signals from a thread of its own: no job waits for Redis."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        self._group = GroupThread(self._send, name="end signals")

    def send(self, batch_id: str) -> None:
        """Signal the end of a job of a batch."""
        self._group.put(batch_id, Future[None]())  # nobody waits for a signal

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _send(self, group: Sequence[tuple[str, object]]) -> None:
        with suppress(redis.RedisError, OSError), self._redis.pipeline(transaction=False) as pipeline:
            for batch_id, _ in group:
                pipeline.publish(ENDS, batch_id)
            pipeline.execute()


async def signals(url: Callable[[], str | None], *channels: str) -> AsyncGenerator[tuple[str, str] | None]:
    """Yield the channel and the text of each signal, for ever. Yields None each time that signals may have been lost.

    `url` returns the address of Redis, or None without a broker.
    """
    while True:
        if (address := url()) is not None:
            with suppress(redis.RedisError, OSError):
                async with aclosing(_signals(address, channels)) as found:  # also if nobody listens any more
                    async for signal in found:
                        yield signal
        yield None
        await asyncio.sleep(_AGAIN_S)


async def _signals(url: str, channels: Sequence[str]) -> AsyncGenerator[tuple[str, str] | None]:
    client = redis.asyncio.Redis.from_url(url, socket_connect_timeout=_TIMEOUT_S, health_check_interval=10)
    async with client, client.pubsub() as pubsub:
        await pubsub.subscribe(*channels)
        async for message in pubsub.listen():
            is_signal = message["type"] == "message"
            yield (message["channel"].decode(), message["data"].decode(errors="replace")) if is_signal else None
