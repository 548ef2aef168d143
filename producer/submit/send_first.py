"""Rings for jobs once they are kept: a message each, as many as the queues have room for."""

from collections.abc import Sequence
from contextlib import closing

from models.errors import BrokerError, LedgerError
from models.job.values import Unsent
from models.ledger.outbox import Outbox
from models.queue.broker import Broker
from models.queue.embedded_redis import required_broker_url
from models.settings import Settings

_RING_S = 0.3  # the caller does not wait for a frozen Redis: the dispatcher sends the messages


def send_first(jobs: Sequence[Unsent], settings: Settings, outbox: Outbox) -> str | None:
    """Send messages for urgent jobs, and for each rung's first jobs, up to the room of the queue.

    The dispatcher sends the others. Returns the reason if no message could be sent; the jobs are still in the ledger.
    """
    try:
        url = required_broker_url(settings)
        with closing(Broker(url, rungs=len(settings.chain.models), timeout_s=_RING_S)) as broker:
            _send([job for job in jobs if job.is_urgent], broker, outbox)
            for rung in sorted({job.rung for job in jobs if not job.is_urgent}):
                room = max(0, min(settings.queue_window, broker.queue_window(rung).window) - broker.depth(rung))
                bulk = [job for job in jobs if job.rung == rung and not job.is_urgent]
                _send(bulk[:room], broker, outbox)
    except (BrokerError, LedgerError) as error:  # the jobs are accepted; after an error the caller would submit again
        return str(error)
    return None


def _send(messages: Sequence[Unsent], broker: Broker, outbox: Outbox) -> None:
    broker.send(messages)
    outbox.mark_sent(messages)
