"""How long message batches take, by model: measured in our own ledger, since nobody publishes the times."""

from sqlalchemy import select

from models.database.engine import LedgerPart, reading
from models.schema.views import BATCH_LATENCY

_LATENCY = BATCH_LATENCY.c
_LEAST_MEASURED = 20  # message batches of a model; fewer say nothing about the slow ones


class BatchLatency(LedgerPart):
    """Reads times of message batches from v_batch_latency. Raises LedgerError if the ledger is away."""

    def takes_s(self, model: str, *, usual_s: float, least: int = _LEAST_MEASURED) -> float:
        """Return the seconds within which 19 of 20 message batches of a model ended in the last 30 days.

        A message batch that was cancelled counts with its time so far. Returns `usual_s` if fewer than `least` are
        known.
        """
        asked = select(_LATENCY.p95_s).where(_LATENCY.model == model, _LATENCY.timed >= least)
        with reading(self._engine) as connection:
            measured = connection.scalar(asked)
        return usual_s if measured is None else measured
