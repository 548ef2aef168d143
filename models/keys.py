"""Every name we use in Redis. All of them begin with one prefix, so that a server can be shared and access limited."""

PREFIX = "stepdown:"
TASK_NAME = "stepdown.run"  # changing it would have workers of another version discard messages
CLOCK_TURN = f"{PREFIX}clock"
FILLED = f"{PREFIX}filled"  # there while Redis has lost nothing since a clock last looked


def turnstile_prefix(namespace: str) -> str:
    """Name what the keys of one turnstile begin with: those who use another key or API have their own."""
    return f"{PREFIX}turnstile:{namespace}:"


def queue_name(rung: int) -> str:
    """Name the Celery queue of a rung, counted from 0.

    >>> queue_name(2)
    'rung-2'
    """
    return f"rung-{rung}"


def queue_key(rung: int) -> str:
    """Name the Redis list behind that queue."""
    return f"{PREFIX}{queue_name(rung)}"
