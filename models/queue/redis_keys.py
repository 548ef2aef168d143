"""Every name we use in Redis. All of them begin with one prefix, so that a server can be shared and access limited."""

from typing import TypeAlias

Lane: TypeAlias = int | None  # the rung whose jobs a queue holds; None: urgent jobs, whatever their rung

PREFIX = "stepdown:"
TASK_NAME = "stepdown.run"  # changing it would have workers of another version discard messages
DISPATCHER_LEADER = f"{PREFIX}clock"
PULSES = f"{PREFIX}workers"  # the workers that claim jobs, and when each last proved it
FILLED = f"{PREFIX}filled"  # there while Redis has lost nothing since a clock last looked


def admission_prefix(namespace: str) -> str:
    """Return the prefix of the keys of admission control; each API key and base URL has a prefix of its own."""
    return f"{PREFIX}admission:{namespace}:"


def queue_name(lane: Lane) -> str:
    """Name the Celery queue of a rung, counted from 0; None: that of urgent jobs.

    >>> queue_name(2)
    'rung-2'
    """
    return "urgent" if lane is None else f"rung-{lane}"


def queue_key(lane: Lane) -> str:
    """Name the Redis list behind that queue."""
    return f"{PREFIX}{queue_name(lane)}"


def queue_window_key(rung: int) -> str:
    """Name the hash in which one clock leaves to the next how a rung's queue is filled."""
    return f"{PREFIX}pace:{rung}"


def cache_state_key(namespace: str, model: str, prefix: str) -> str:
    """Name what tells whether a model's cache, that of one key, holds the beginning that some prompts share."""
    return f"{PREFIX}warmth:{namespace}:{model}:{prefix}"
