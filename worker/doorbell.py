"""Celery's way to Redis, made to bear what others put into our queues: the ledger rings again for what is lost."""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

from worker.events import MessageDiscarded
from worker.logs import log

# What decoding a message raises that is not JSON, or not one of Kombu's.
_NOT_A_MESSAGE = (ValueError, TypeError, KeyError, AttributeError)


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """Drops a value that is no message. Kombu would end the worker, and with it every call in flight."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except _NOT_A_MESSAGE as error:
            log(MessageDiscarded(said=type(error).__name__))
            return True


class Transport(redis.Transport):  # type: ignore[misc]
    """Kombu's own, with our channel."""

    Channel = Channel


def install() -> None:
    """Have every connection of this process to a redis:// or rediss:// URL be ours: a worker's process is its own."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
