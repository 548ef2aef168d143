"""Times and cache hits of message batches, by model: measured in our own ledger, since nobody publishes them."""

from sqlalchemy import func, select

from models.database.engine import LedgerPart, reading
from models.schema.attempt import Attempt
from models.schema.columns import db_now
from models.schema.message_batch import MessageBatch as Row
from models.schema.views import BATCH_LATENCY

_LATENCY = BATCH_LATENCY.c
_LEAST_MEASURED = 20  # message batches of a model; fewer say nothing about the slow ones
_MEASURED_S = 30 * 86_400.0  # how far back cache hits are read
_MOST_WITH_CACHE = 20  # message batches of each lifetime


class BatchHistory(LedgerPart):
    """Reads how message batches went. Raises LedgerError if the ledger is away."""

    def takes_s(self, model: str, *, usual_s: float, least: int = _LEAST_MEASURED) -> float:
        """Return the seconds within which 19 of 20 message batches of a model ended in the last 30 days.

        A message batch that was cancelled counts with its time so far. Returns `usual_s` if fewer than `least` are
        known.
        """
        asked = select(_LATENCY.p95_s).where(_LATENCY.model == model, _LATENCY.timed >= least)
        with reading(self._engine) as connection:
            measured = connection.scalar(asked)
        return usual_s if measured is None else measured

    def cache_hits(self, model: str, ttl: str, *, least: int) -> float | None:
        """Return the share of shared prompts' tokens that were read from the cache, not written there, lately.

        `ttl` is the lifetime of the marked prefixes, `5m` or `1h`. Returns None if fewer than `least` items are known.
        """
        lately = (
            select(Row.id)
            .where(Row.model == model, Row.sent_at > db_now(-_MEASURED_S), Row.cache_ttl == ttl)
            .order_by(Row.sent_at.desc())
            .limit(_MOST_WITH_CACHE)
        )
        read, written = Attempt.cache_read_tokens, Attempt.cache_write_5m_tokens + Attempt.cache_write_1h_tokens
        counted = select(func.count(), func.sum(read), func.sum(written)).where(
            Attempt.message_batch_id.in_(lately), read + written > 0
        )
        with reading(self._engine) as connection:
            items, hit, missed = (int(count or 0) for count in connection.execute(counted).one())
        return hit / (hit + missed) if items >= least else None
