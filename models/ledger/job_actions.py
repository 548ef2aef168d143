"""The orders of a person: cancel, release, drop, retry, purge; and the pause of a batch that fails throughout."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, delete, exists, func, select, type_coerce, update

from models.database.engine import LedgerPart, transaction
from models.errors import InputError
from models.job.values import batch_scope
from models.ledger.batch_counts import add, recount
from models.ledger.leases import mark_unknown
from models.ledger.steps import IS_READ_LATER, forget, reopen
from models.outcome import FINAL_STATES, HALF_PRICE, OPEN_STATES, Outcome, State
from models.schema.attempt import Attempt
from models.schema.budget import BudgetRow
from models.schema.columns import NanoUSD, db_now
from models.schema.job import IS_HELD, IS_UNBEGUN, REFUSED, AnswerRow, Job, TurnRow

_NOW = db_now(0.0)
DROPPED = "dropped"  # the outcome of a held job that a person gave up
BATCH_PAUSED = "batch_paused"  # the outcome of a job that waits because so many earlier jobs failed alike
_AT_ONCE = 500
_ZERO = Decimal(0)


class Cancelled(NamedTuple):
    """The cancelled jobs of a batch, its calls in flight, and its items in message batches that have not ended."""

    jobs: int
    in_flight: int
    items: int


class JobActions(LedgerPart):
    """Changes jobs as a whole batch, or one by one. Each method raises LedgerError if the ledger is away."""

    def cancel(self, batch_id: str, *, states: Sequence[State] = OPEN_STATES) -> Cancelled:
        """Cancel the open jobs of a batch in one of `states`.

        Calls in flight end, and are billed. Items may be billed, although the lane cancels their message batches.
        """
        items = (Attempt.batch_id == batch_id) & Attempt.closed_at.is_(None) & Attempt.message_batch_id.is_not(None)
        ours = (Job.batch_id == batch_id) & Job.state.in_(states)
        with transaction(self._engine) as connection:
            in_flight = connection.scalar(select(func.count()).where(ours, Job.state == State.RUNNING))
            cancelled = connection.execute(
                update(Job)
                .where(ours)
                .values(
                    state=State.CANCELLED, outcome="cancelled", finished_at=_NOW
                )  # a lease marks the call in flight
            ).rowcount
            add(connection, batch_id, cancelled=cancelled)
            open_items = connection.scalar(select(func.count()).where(items))
        return Cancelled(jobs=cancelled, in_flight=min(in_flight or 0, cancelled), items=open_items or 0)

    def release(
        self,
        *,
        deadline_s: float,
        live_from_s: float | None = None,
        batch_id: str | None = None,
        job_id: str | None = None,
    ) -> int:
        """Let held jobs go on, with a deadline of their own. Returns the number of jobs.

        A job whose last call may have been billed is bought again live, and counted in `rebuys`. The lane of all others
        is as in `retry`.
        """
        bought_again = Job.rebuys + case((Job.outcome == Outcome.UNKNOWN, 1), else_=0)
        lane = _in_lane(live_from_s, (Job.outcome == BATCH_PAUSED) & (Job.lane == HALF_PRICE), else_=Job.outcome)
        go_on = {**lane, "rebuys": bought_again, "sent_at": None, "deadline_at": db_now(deadline_s)}
        with transaction(self._engine) as connection:
            return connection.execute(update(Job).where(_of(batch_id, job_id), IS_HELD).values(**go_on)).rowcount

    def drop(self, *, batch_id: str | None = None, job_id: str | None = None) -> int:
        """Give held jobs up: they fail, and nothing is bought again. Returns the number of jobs."""
        given_up = {"state": State.FAILED, "outcome": DROPPED, "finished_at": _NOW}
        with transaction(self._engine) as connection:
            dropped = update(Job).where(_of(batch_id, job_id), IS_HELD).values(**given_up).returning(Job.batch_id)
            batches = connection.scalars(dropped).all()
            if batches:
                add(connection, batches[0], failed=len(batches))
        return len(batches)

    def retry(
        self,
        *,
        deadline_s: float,
        live_from_s: float | None = None,
        states: Sequence[State] = (State.FAILED, State.CANCELLED),
        batch_id: str | None = None,
        job_id: str | None = None,
    ) -> int:
        """Queue jobs that ended in one of these states again, from their own start. Returns the number of jobs.

        A half-price job waits for a message batch again, and goes live after `live_from_s` seconds. None: at once.
        Attempts stay. Steps made without the new answers are made anew. A refused job stays: no request is kept.
        """
        ended = Job.state.in_(states) & Job.start_reason.is_distinct_from(REFUSED)
        if State.CANCELLED in states:
            self._mark_calls_unknown(_of(batch_id, job_id))
        ours = and_(_of(batch_id, job_id), ended, Job.purged_at.is_(None))
        again = _again(deadline_s, live_from_s)
        with transaction(self._engine) as connection:
            connection.execute(delete(TurnRow).where(TurnRow.job_id.in_(select(Job.id).where(ours))))
            count = connection.execute(update(Job).where(ours).values(**again)).rowcount
            return count + _reopened(connection, again, batch_id, job_id)

    def _mark_calls_unknown(self, ours: ColumnElement[bool]) -> None:
        """Count calls of cancelled jobs as unknown: after a new claim nothing looks for earlier calls."""
        in_flight = select(Job.id).where(ours, Job.state == State.CANCELLED, Job.lease_until.is_not(None))
        with transaction(self._engine) as connection:
            job_ids = connection.scalars(in_flight).all()
        for job_id in job_ids:
            with transaction(self._engine) as connection:
                mark_unknown(connection, job_id)

    def raise_cap(self, batch_id: str, *, max_cost_usd: Decimal) -> None:
        """Replace the cap of a batch. Raises InputError if the batch has no cap, or has cost as much already."""
        ours = BudgetRow.scope == batch_scope(batch_id)
        gone = BudgetRow.spent_nano_usd + BudgetRow.unknown_nano_usd + BudgetRow.reserved_nano_usd
        with transaction(self._engine) as connection:
            known = connection.scalar(select(type_coerce(gone, NanoUSD())).where(ours))
            if known is None:
                problem = "has none yet, and its calls so far were not counted: give it with submit"
                raise InputError(problem, source=f"batch {batch_id}", field="max_cost")
            if known >= max_cost_usd:
                problem = f"{max_cost_usd:f} would leave nothing: ${known:f} are spent, or may be; give more than that"
                raise InputError(problem, source=f"batch {batch_id}", field="max_cost")
            connection.execute(update(BudgetRow).where(ours).values(cap_nano_usd=max_cost_usd))

    def retry_truncated(
        self,
        *,
        deadline_s: float,
        max_tokens: int | None,
        live_from_s: float | None = None,
        batch_id: str | None = None,
        job_id: str | None = None,
    ) -> int:
        """Queue jobs whose answer was cut again, as `retry`, with `max_tokens` if given. Returns the number of jobs.

        Each answer stays until a better one takes its place, as do the answers of steps made from that answer.
        """
        cut = (
            select(Job.id, Job.params)
            .join(AnswerRow, AnswerRow.job_id == Job.id)
            .where(_of(batch_id, job_id), Job.state == State.SUCCEEDED, AnswerRow.is_truncated)
        )
        again = _again(deadline_s, live_from_s)
        with transaction(self._engine) as connection:
            jobs = connection.execute(cut).all()
            for found, params in jobs:
                asked = params if max_tokens is None else {**params, "max_tokens": max_tokens}
                connection.execute(update(Job).where(Job.id == found).values(params=asked, **again))
            reopened = _reopened(connection, again, batch_id, job_id)
        return len(jobs) + reopened

    def pause(self, batch_id: str, *, because: str) -> int:
        """Hold the jobs of a batch that have not begun. Returns the number of jobs."""
        held = {"state": State.WAITING, "outcome": BATCH_PAUSED, "error": because, "due_at": None}
        with transaction(self._engine) as connection:
            return connection.execute(update(Job).where(Job.batch_id == batch_id, IS_UNBEGUN).values(**held)).rowcount

    def purge(self, *, older_than_s: float, batch_id: str | None = None) -> int:
        """Remove prompts, columns and answers of at most 500 jobs that ended so long ago. Returns the number of jobs.

        Call this until it returns 0: each step is short. The ledger's rows stay, as do the answers that open jobs will
        read. `batch_id` limits the purge to one batch.
        """
        old = (Job.finished_at < db_now(-older_than_s)) & ~IS_READ_LATER
        old = old if batch_id is None else old & (Job.batch_id == batch_id)
        some = select(Job.id).where(Job.state.in_(FINAL_STATES), old, Job.purged_at.is_(None)).limit(_AT_ONCE)
        with transaction(self._engine) as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA secure_delete = ON")  # else the text stays in the file's free pages
            ids = connection.scalars(some).all()
            for kept in (AnswerRow, TurnRow):
                connection.execute(delete(kept).where(kept.job_id.in_(ids)))
            connection.execute(update(Job).where(Job.id.in_(ids)).values(params={}, columns={}, purged_at=_NOW))
            forget(connection, ids)
        return len(ids)


def _again(deadline_s: float, live_from_s: float | None) -> dict[str, Any]:
    """Lay out a job as accepted. A call that may have been billed is bought again, and counted."""
    may_be_billed = (Attempt.job_id == Job.id) & (Attempt.cost_nano_usd.is_(None) | (Attempt.cost_nano_usd > _ZERO))
    is_rebuy = exists().where(may_be_billed).correlate(Job)
    return {
        **_in_lane(live_from_s, Job.lane == HALF_PRICE),
        "error": None,
        "rung": Job.start_rung,
        "given_up": {},
        "rounds": 0,
        "crashes": 0,
        "rebuys": Job.rebuys + case((is_rebuy, 1), else_=0),
        "model_used": None,
        "fallback_depth": None,
        "sent_at": None,
        "finished_at": None,
        "deadline_at": db_now(deadline_s),
    }


def _in_lane(live_from_s: float | None, is_in_lane: ColumnElement[bool], *, else_: Any = None) -> dict[str, Any]:
    """Let jobs of the lane wait for a message batch, and queue all others, with the outcome `else_`."""
    if live_from_s is None:
        return {"state": State.QUEUED, "outcome": else_, "due_at": None}
    return {
        "state": case((is_in_lane, State.WAITING), else_=State.QUEUED),
        "outcome": case((is_in_lane, HALF_PRICE), else_=else_),
        "due_at": case((is_in_lane, db_now(live_from_s))),
    }


def _reopened(connection: Connection, again: dict[str, Any], batch_id: str | None, job_id: str | None) -> int:
    if batch_id is None:
        batch_id = connection.scalar(select(Job.batch_id).where(Job.id == job_id))
    reopened = reopen(connection, batch_id, again)
    recount(connection, batch_id)
    return reopened


def _of(batch_id: str | None, job_id: str | None) -> ColumnElement[bool]:
    if (batch_id is None) == (job_id is None):
        raise ValueError("name a batch or a job")
    return Job.batch_id == batch_id if job_id is None else Job.id == job_id
