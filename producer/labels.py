"""What callers of `stepdown serve` say beside a body: our own headers, and the words of a query."""

from reprlib import repr as shown

from producer.refusal import Refusal

TASK, MAX_COST, DEPTH, COST, JOB = (
    f"x-stepdown-{word}" for word in ("task", "max-cost-usd", "fallback-depth", "cost-usd", "job")
)
KEY = "idempotency-key"
_MOST_DIGITS = 9


def label(value: str | None, *, header: str) -> str | None:
    """Read a header that is kept as text; blank is none. Raises Refusal where it is no plain text."""
    if value is not None and not value.isprintable():
        raise Refusal(400, f"{header}: {shown(value)} should be plain text")
    return (value or "").strip() or None


def limit_of(given: str | None, *, usual: int, most: int) -> int:
    """Read how many are listed at most. Raises Refusal."""
    if given is None:
        return usual
    is_number = given.isascii() and given.isdecimal() and len(given) <= _MOST_DIGITS
    if not is_number or not 1 <= int(given) <= most:
        raise Refusal(400, f"limit: {shown(given)} should be a whole number from 1 to {most}")
    return int(given)
