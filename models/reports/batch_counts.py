"""The counts of one batch's progress: kept in rows of their own for a large batch, else counted now."""

from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from models.ledger.batch_counts import PROGRESS
from models.money.pricing import NANO_USD
from models.outcome import AT_HALF_PRICE, OVER_BUDGET, State
from models.schema.job import IS_HELD, Job
from models.schema.views import ATTEMPTS

_ATTEMPT = ATTEMPTS.c  # with the corrected cost of each attempt
COST = func.sum(_ATTEMPT.cost_nano_usd, type_=_ATTEMPT.cost_nano_usd.type)
UNKNOWN = func.count().filter(_ATTEMPT.cost_nano_usd.is_(None), _ATTEMPT.closed_at.is_not(None))


def kept_counts(connection: Connection, batch: RowMapping) -> dict[str, Any] | None:
    """Return the counts of a progress that were kept. Returns None if the batch is not counted."""
    row = connection.execute(PROGRESS, {"of_batch": batch["id"]}).mappings().one()
    if not row["parts"]:
        return None
    states = {state.value: int(row[state.value]) for state in State if state is not State.QUEUED}
    states[State.QUEUED.value] = batch["job_count"] - sum(states.values())
    return {
        "states": {state: count for state, count in states.items() if count},
        "held": row["held"],
        "over_budget": row["over_budget"] + row["over_budget_waiting"],
        "half_price": row["half_price"],
        "attempts": row["attempts"],
        "cost_usd": int(row["cost_nano_usd"]) * NANO_USD,
        "unknown_costs": row["unknown_costs"],
    }


def live_counts(connection: Connection, batch_id: str) -> dict[str, Any]:
    """Count the jobs of a batch by state, and add up its attempts."""
    among: dict[str, Any] = {
        "held": IS_HELD,
        "over_budget": (Job.outcome == OVER_BUDGET) & Job.state.in_([State.FAILED, State.WAITING]),
        "half_price": (Job.state == State.WAITING) & Job.outcome.in_(AT_HALF_PRICE),
    }
    counts = (func.count().filter(those).label(name) for name, those in among.items())
    states = select(Job.state, func.count().label("jobs"), *counts).where(Job.batch_id == batch_id).group_by(Job.state)
    money = select(func.count(), COST, UNKNOWN).where(_ATTEMPT.batch_id == batch_id)
    by_state = connection.execute(states).mappings().all()  # first: once all jobs have ended, the cost is whole
    attempts, cost, unknown = connection.execute(money).one()
    return {
        "states": {row["state"]: row["jobs"] for row in by_state},
        **{name: sum(row[name] for row in by_state) for name in among},
        "attempts": attempts,
        "cost_usd": cost or Decimal(0),
        "unknown_costs": unknown,
    }
