"""Celery's way to Redis, made to bear what others put into our queues: the ledger rings again for what is lost."""

from collections.abc import Callable
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

from worker.events import MessageDiscarded
from worker.logs import log

# What decoding a message raises that is not JSON, or not one of Kombu's.
_NOT_A_MESSAGE = (ValueError, TypeError, KeyError, AttributeError)


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """Bears a value that is no message, and a connection that went while a message was at work.

    Kombu would end the worker over either, and with it every call in flight. A worker that is not fit asks for no
    message: it would take them faster than those who can work, and answer none.
    """

    is_fit: Callable[[], bool] = staticmethod(lambda: True)

    def _brpop_start(self, timeout: int | None = None) -> None:
        # Kombu asks again in each turn of its loop.
        if Channel.is_fit():
            super()._brpop_start(timeout)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except _NOT_A_MESSAGE as error:
            log(MessageDiscarded(said=type(error).__name__))
            return True

    def _connparams(self, *arguments: Any, **options: Any) -> Any:
        # A message acknowledged after its connection was given up finds nothing to connect to. Said as what it is, it
        # is one of the errors that whoever acknowledges expects; as an AttributeError it ends the worker.
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("the connection that this message came by is gone")
        return super()._connparams(*arguments, **options)


class Transport(redis.Transport):  # type: ignore[misc]
    """Kombu's own, with our channel."""

    Channel = Channel


def install() -> None:
    """Have every connection of this process to a redis:// or rediss:// URL be ours: a worker's process is its own."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
