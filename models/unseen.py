"""Calls whose end nobody will see: their worker is gone."""

from sqlalchemy import Connection, bindparam, null, update

from models.attempt import Attempt
from models.base import db_now
from models.daily import MARK_STALE
from models.outcome import Outcome
from models.reservations import settle

_MARK = (
    update(Attempt)
    # The version before wrote no time: what it marked is marked once more, for its reservation.
    .where(Attempt.job_id == bindparam("of_job"), Attempt.closed_at.is_(None), Attempt.unknown_at.is_(None))
    .values(outcome=Outcome.UNKNOWN, unknown_at=db_now(0.0))
    # As they were: nobody had marked them before.
    .returning(Attempt.reserved_nano_usd, Attempt.budgets, Attempt.opened_at, null().label("unknown_at"))
)


def mark_unknown(connection: Connection, job_id: str) -> int:
    """Give the open attempts of a job the outcome `unknown`, and count their worst case as spent; returns how many.

    They stay open, so that a reply can still close them. One job a transaction: budgets are taken in the order of their
    scopes, and those of two jobs would cross.
    """
    rows = [dict(**row) for row in connection.execute(_MARK, {"of_job": job_id}).mappings()]
    for row in rows:
        settle(connection.execute, row, None)
    for day in sorted({row["opened_at"].date() for row in rows}):
        connection.execute(MARK_STALE, {"of_day": day})
    return len(rows)
