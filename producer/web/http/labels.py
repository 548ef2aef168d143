"""What callers of `stepdown serve` say beside a body: our own headers, and the words of a query."""

from reprlib import repr as shown

from models.money.caps import usd
from producer.prompt.check_prompt import MAX_ID_LENGTH
from producer.web.http.errors import Refusal

TASK, MAX_COST, DEPTH, COST, JOB = (
    f"x-stepdown-{word}" for word in ("task", "max-cost-usd", "fallback-depth", "cost-usd", "job")
)
KEY = "idempotency-key"
LISTED, MOST_LISTED = 20, 1000  # of batches, where nobody says how many; and at most
_MOST_DIGITS = 9


def label(value: str | None, *, header: str) -> str | None:
    """Read a header that is kept as text; blank is none. Raises Refusal where it is no plain text, or too long."""
    if value is not None and not (value.isprintable() and len(value) <= MAX_ID_LENGTH):
        raise Refusal(400, f"{header}: {shown(value)} should be plain text of at most {MAX_ID_LENGTH} characters")
    return (value or "").strip() or None


def cap_of(value: str | None) -> str | None:
    """Read the header that says what all of it may cost. Raises Refusal."""
    try:
        return None if value is None else f"{usd(value).normalize():f}"
    except ValueError as error:
        raise Refusal(400, f"{MAX_COST}: {error}") from None


def limit_of(given: str | None) -> int:
    """Read how many are listed at most. Raises Refusal."""
    if given is None:
        return LISTED
    is_number = given.isascii() and given.isdecimal() and len(given) <= _MOST_DIGITS
    if not is_number or not 1 <= int(given) <= MOST_LISTED:
        raise Refusal(400, f"limit: {shown(given)} should be a whole number from 1 to {MOST_LISTED}")
    return int(given)
