"""The counts of a large batch, kept in the transactions that change them: a look adds up a few rows.

Each process adds to a row of its own, so that no two wait for each other. A batch with the row of no writer is counted.
All other batches are small, and are counted when somebody looks.
"""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, String, bindparam, exists, insert, select, text
from sqlalchemy.dialects import postgresql

from models.outcome import AT_HALF_PRICE, FINAL_STATES, OVER_BUDGET, State
from models.schema.batch import BatchCount
from models.schema.job import IN_FLIGHT, WAITING

COUNTED_FROM = 1000  # jobs
NO_WRITER = ""
_TABLE = BatchCount.__table__
COUNTS = tuple(column.name for column in _TABLE.columns if not column.primary_key)
_BASE = _TABLE.alias("base")
_BATCH = bindparam("of_batch", type_=String)
IS_COUNTED = exists().where(_BASE.c.batch_id == _BATCH, _BASE.c.writer == NO_WRITER)
_MORE = (bindparam(f"more_{name}", type_=_TABLE.c[name].type) for name in COUNTS)
_NEW = postgresql.insert(BatchCount).from_select(  # SQLite reads Postgres's insert, too
    ["batch_id", "writer", *COUNTS],
    select(_BATCH, bindparam("of_writer", type_=String), *_MORE).where(IS_COUNTED),
)
ADD = _NEW.on_conflict_do_update(
    index_elements=["batch_id", "writer"], set_={name: _TABLE.c[name] + _NEW.excluded[name] for name in COUNTS}
)
_OVER_BUDGET = f"outcome = '{OVER_BUDGET}'"
_OF_JOBS = {
    **{state.value: f"COUNT(CASE WHEN state = '{state.value}' THEN 1 END)" for state in sorted(FINAL_STATES)},
    "over_budget": f"COUNT(CASE WHEN state = 'failed' AND {_OVER_BUDGET} THEN 1 END)",
}
_OF_ATTEMPTS = {
    "attempts": "COUNT(*)",
    "unknown_costs": "COUNT(CASE WHEN cost_nano_usd IS NULL AND closed_at IS NOT NULL THEN 1 END)",
    "cost_nano_usd": "CAST(COALESCE(SUM(cost_nano_usd), 0) AS BIGINT)",
}


def _listed(counts: Mapping[str, str]) -> str:
    return ", ".join(f"{count} AS {name}" for name, count in counts.items())


_SUMS = _listed({name: f"CAST(COALESCE(SUM({name}), 0) AS BIGINT)" for name in COUNTS})
_KNOWN = f"SELECT COUNT(*) AS parts, {_SUMS} FROM batch_counts WHERE batch_id = :of_batch"  # noqa: S608
# One statement sees jobs and counts of one moment. They then differ by the changes of this transaction alone.
_RECOUNT = text(f"""
    INSERT INTO batch_counts (batch_id, writer, {", ".join(COUNTS)})
    SELECT :of_batch, '', {", ".join(f"counted.{name} - known.{name}" for name in COUNTS)}
    FROM (SELECT * FROM (SELECT {_listed(_OF_JOBS)} FROM jobs WHERE batch_id = :of_batch) AS of_jobs
        CROSS JOIN (SELECT {_listed(_OF_ATTEMPTS)} FROM v_attempts WHERE batch_id = :of_batch) AS of_attempts
    ) AS counted CROSS JOIN ({_KNOWN}) AS known
    WHERE known.parts > 0
    ON CONFLICT (batch_id, writer) DO UPDATE
        SET {", ".join(f"{name} = batch_counts.{name} + excluded.{name}" for name in COUNTS)}
""")  # noqa: S608 - of our own words
# Open jobs are read from their partial indexes, which hold the jobs of all batches: see models/reports/waits.
_OURS = "batch_id || '' = :of_batch"
PROGRESS = text(f"""
    SELECT known.*, open_jobs.* FROM ({_KNOWN}) AS known CROSS JOIN (
        SELECT COUNT(CASE WHEN state = 'running' THEN 1 END) AS running,
            COUNT(CASE WHEN state = 'waiting' THEN 1 END) AS waiting,
            COUNT(CASE WHEN phase = 'held' THEN 1 END) AS held,
            COUNT(CASE WHEN state = 'waiting' AND {_OVER_BUDGET} THEN 1 END) AS over_budget_waiting,
            COUNT(CASE WHEN state = 'waiting' AND outcome IN {AT_HALF_PRICE} THEN 1 END) AS half_price
        FROM (
            SELECT state, phase, outcome FROM jobs WHERE {IN_FLIGHT} AND {_OURS}
            UNION ALL SELECT state, phase, outcome FROM jobs WHERE {WAITING} AND {_OURS}
            UNION ALL SELECT state, phase, outcome FROM jobs WHERE phase = 'held' AND batch_id = :of_batch
        ) AS found
    ) AS open_jobs
""")  # noqa: S608 - of our own words


def more(batch_id: str, changes: Counter[str], *, writer: str = NO_WRITER) -> dict[str, Any]:
    """Return the parameters of ADD."""
    whole = {f"more_{name}": changes[name] for name in COUNTS} | {
        "more_cost_nano_usd": Decimal(changes["cost_nano_usd"])
    }
    return {"of_batch": batch_id, "of_writer": writer, **whole}


def add(connection: Connection, batch_id: str | None, **changes: Any) -> None:
    """Add to the counts of a batch, if the batch is counted."""
    if batch_id is not None and any(changes.values()):
        connection.execute(ADD, more(batch_id, Counter(changes)))


def ends(state: State, outcome: str | None) -> dict[str, int]:
    """Return the changes of counts by a job that comes to a state."""
    if state not in FINAL_STATES:
        return {}
    return {state.value: 1, "over_budget": int(state is State.FAILED and outcome == OVER_BUDGET)}


def begin(connection: Connection, batch_id: str, *, has_ended: bool) -> None:
    """Begin to count a batch. `has_ended` is True if some of its jobs were refused."""
    nothing = dict[str, Any].fromkeys(COUNTS, 0) | {"cost_nano_usd": Decimal(0)}
    connection.execute(insert(BatchCount).values(batch_id=batch_id, writer=NO_WRITER, **nothing))
    if has_ended:
        recount(connection, batch_id)


def recount(connection: Connection, batch_id: str | None) -> None:
    """Add the changes that this transaction has made to jobs of a batch, whatever they are."""
    connection.execute(_RECOUNT, {"of_batch": batch_id})
