"""The counts of one batch's progress: kept in rows of their own for a large batch, else counted now."""

from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from models.ledger.batch_counts import PROGRESS
from models.money.pricing import NANO_USD
from models.outcome import OVER_BUDGET, State
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
        "attempts": row["attempts"],
        "cost_usd": int(row["cost_nano_usd"]) * NANO_USD,
        "unknown_costs": row["unknown_costs"],
    }


def live_counts(connection: Connection, batch_id: str) -> dict[str, Any]:
    """Count the jobs of a batch by state, and add up its attempts."""
    is_over = (Job.outcome == OVER_BUDGET) & Job.state.in_([State.FAILED, State.WAITING])
    counts = (func.count(), func.count().filter(IS_HELD), func.count().filter(is_over))
    states = select(Job.state, *counts).where(Job.batch_id == batch_id).group_by(Job.state)
    money = select(func.count(), COST, UNKNOWN).where(_ATTEMPT.batch_id == batch_id)
    by_state = connection.execute(states).all()  # first: once all jobs have ended, the cost is whole
    attempts, cost, unknown = connection.execute(money).one()
    return {
        "states": {state: count for state, count, _, _ in by_state},
        "held": sum(held for _, _, held, _ in by_state),
        "over_budget": sum(over for _, _, _, over in by_state),
        "attempts": attempts,
        "cost_usd": cost or Decimal(0),
        "unknown_costs": unknown,
    }
