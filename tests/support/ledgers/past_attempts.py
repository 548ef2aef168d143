"""Attempts of the last hour, from which starts are learned."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, insert

from models.rung_name import endpoint_of
from models.schema.attempt import Attempt
from models.store import Store
from tests.support.ledgers.job_values import new_job

OPUS, SONNET, HAIKU = "claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"
NANO_USD_EACH = {OPUS: 10_000_000, SONNET: 6_000_000, HAIKU: 2_000_000}


def remember(engine: Engine, model: str, *outcomes: str, task: str = "summarize", **changes: Any) -> None:
    """Record an open job for each outcome, answered so by its one attempt an hour ago."""
    store, before = Store(engine, worker="past"), datetime.now(UTC) - timedelta(hours=1)
    for outcome in outcomes:
        job = new_job(task=task)
        store.ledger.open_single(job, deadline_s=60)
        row = {
            "id": f"a-{job.id}"[:36],
            "job_id": job.id,
            "task": task,
            "attempt_no": 1,
            "rung": 0,
            "fallback_depth": 0,
            "reason": "start",
            "endpoint": endpoint_of(model),
            "requested_model": model,
            "outcome": outcome,
            "opened_at": before,
            "closed_at": before,
            "cost_status": "exact",
            "cost_nano_usd": Decimal(NANO_USD_EACH.get(model, 0)) / 10**9,
            "worker": "past",
            "lease_token": 1,
        }
        with engine.begin() as connection:
            connection.execute(insert(Attempt).values(**(row | changes)))
