"""The lane of urgent jobs and of calls about message batches: queues and a channel of their own."""

from typing import Any

from celery import bootsteps
from kombu import Consumer, Queue

from models.queue.redis_keys import BATCH_QUEUE, queue_name

_QUEUES = (queue_name(None), BATCH_QUEUE)


class UrgentLane(bootsteps.ConsumerStep):  # type: ignore[misc]  # celery has no types
    """Receives these queues by a channel of its own, which stays open while the channel of other jobs is closed."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, c: Any) -> None:
        """Begin to receive, with Celery's own handling of a message; `c` is Celery's consumer."""
        queues = [Queue(name, routing_key=name) for name in _QUEUES]
        handle, discard = c.create_task_handler(), c.on_decode_error
        channel = c.connection.channel()
        self.consumers = [Consumer(channel, queues, on_message=handle, on_decode_error=discard, accept=["json"])]
        self.consumers[0].consume()
