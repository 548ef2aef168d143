"""Times and cache hits of message batches, by model: measured in our own ledger, since nobody publishes them."""

from datetime import timedelta

from sqlalchemy import func, select

from models.database.engine import LedgerPart, reading
from models.schema.attempt import Attempt
from models.schema.columns import db_now
from models.schema.message_batch import MessageBatch as Row

_MEASURED_S = 30 * 86_400.0  # how far back the times of message batches are read
_MOST_MEASURED = 1000
_P95 = 0.95
_MOST_WITH_CACHE = 20  # message batches of each lifetime


class BatchHistory(LedgerPart):
    """Reads how message batches went. Raises LedgerError if the ledger is away."""

    def p95_s(self, model: str, *, least: int) -> float | None:
        """Return the seconds within which 19 of 20 message batches of a model ended, lately.

        A message batch that was cancelled counts with its time so far. Returns None if fewer than `least` are known.
        """
        ended = func.coalesce(Row.cancelled_at, Row.ended_at).label("ended")
        taken = (
            select(Row.sent_at, ended)
            .where(Row.model == model, Row.sent_at > db_now(-_MEASURED_S), ended.is_not(None))
            .order_by(Row.sent_at.desc())
            .limit(_MOST_MEASURED)
        )
        with reading(self._engine) as connection:
            times = sorted((row.ended - row.sent_at) / timedelta(seconds=1) for row in connection.execute(taken))
        return times[min(len(times) - 1, int(_P95 * len(times)))] if len(times) >= least else None

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
