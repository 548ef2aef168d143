"""Rings for jobs once they are kept: a message each, as many as the queues have room for."""

import os
from collections.abc import Callable, Sequence
from threading import Lock

from models.errors import BrokerError, LedgerError
from models.job.values import Unsent
from models.queue.broker import Broker
from models.queue.embedded_redis import required_broker_url
from models.settings import Settings

_RING_S = 0.3  # the caller does not wait for a frozen Redis: the dispatcher sends the messages


class FirstMessages:
    """Sends the first messages of batches, on connections that stay open; safe for threads.

    `mark_sent` records in the ledger that the messages of jobs are sent.
    """

    def __init__(self, settings: Settings, mark_sent: Callable[[Sequence[Unsent]], object]) -> None:
        self._settings = settings
        self._mark_sent = mark_sent
        self._opening = Lock()
        self._broker: tuple[tuple[int, str], Broker] | None = None  # the process and the address, and connections

    def send(self, jobs: Sequence[Unsent]) -> str | None:
        """Send messages for urgent jobs, and for each rung's first jobs, up to the room of the queue.

        The dispatcher sends the others. Returns the reason if no message could be sent; the jobs are still in the
        ledger.
        """
        try:
            broker = self._open(required_broker_url(self._settings))
            self._send([job for job in jobs if job.is_urgent], broker)
            for rung in sorted({job.rung for job in jobs if not job.is_urgent}):
                room = min(self._settings.queue_window, broker.queue_window(rung).window) - broker.depth(rung)
                bulk = [job for job in jobs if job.rung == rung and not job.is_urgent]
                self._send(bulk[: max(0, room)], broker)
        except (
            BrokerError,
            LedgerError,
        ) as error:  # the jobs are accepted; after an error the caller would submit again
            self.close()
            return str(error)
        return None

    def close(self) -> None:
        """Close the connections; the next batch opens them again."""
        with self._opening:
            found, self._broker = self._broker, None
        if found is not None:
            found[1].close()

    def _open(self, url: str) -> Broker:
        of = (os.getpid(), url)  # a forked child may not write to its parent's connections
        with self._opening:
            if self._broker is None or self._broker[0] != of:
                self._broker = (of, Broker(url, timeout_s=_RING_S))
            return self._broker[1]

    def _send(self, messages: Sequence[Unsent], broker: Broker) -> None:
        broker.send(messages)
        self._mark_sent(messages)
