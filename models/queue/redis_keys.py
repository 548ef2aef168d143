"""Every name we use in Redis. All begin with one prefix, so that a server can be shared and access limited."""

from typing import TypeAlias

Lane: TypeAlias = int | None  # the rung whose jobs a queue holds, None for urgent jobs of every rung

PREFIX = "stepdown:"
TASK_NAME = "stepdown.run"  # a change would have workers of another version discard messages
BATCH_TASK_NAME = "stepdown.message_batch"  # a call about a message batch
BATCH_QUEUE = "half-price"  # its queue
DISPATCHER_LEADER = f"{PREFIX}clock"
LANE_LEADER = f"{PREFIX}half-price-clock"  # the worker with this key makes message batches
PULSES = f"{PREFIX}workers"  # the workers that claim jobs, each with the time of its last proof
ENDS = f"{PREFIX}ends"  # the channel of ended jobs that callers wait for
LISTENED = f"{PREFIX}listened"  # the channel of jobs whose callers read a stream
LIVE = f"{PREFIX}live:"  # followed by the name of a server: the channel of events for its callers
FILLED = f"{PREFIX}filled"  # there while Redis has lost nothing since a dispatcher's last look


def admission_prefix(namespace: str) -> str:
    """Return the prefix of admission control's keys; each API key and base URL has its own."""
    return f"{PREFIX}admission:{namespace}:"


def queue_name(lane: Lane) -> str:
    """Return the Celery queue of a rung, counted from 0, or of urgent jobs for None.

    >>> queue_name(2)
    'rung-2'
    """
    return "urgent" if lane is None else f"rung-{lane}"


def task_of(queue: str) -> str:
    """Return the Celery task of a queue."""
    return BATCH_TASK_NAME if queue == BATCH_QUEUE else TASK_NAME


def queue_key(lane: Lane) -> str:
    """Return the Redis list behind that queue."""
    return f"{PREFIX}{queue_name(lane)}"


def queue_window_key(rung: int) -> str:
    """Return the hash in which one dispatcher leaves the state of a rung's queue to the next."""
    return f"{PREFIX}pace:{rung}"


def cache_state_key(namespace: str, model: str, prefix: str) -> str:
    """Return the key for the state of a model's cache, under one API key, for one shared beginning of prompts."""
    return f"{PREFIX}warmth:{namespace}:{model}:{prefix}"
