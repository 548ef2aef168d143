"""The ends of attempts and jobs, from within a transaction: the attempt closed, the answer kept, the job moved on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Engine, Insert, bindparam, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningUpdate

from models.database.compiled_sql import Cursor
from models.job.values import Claim, Closing, Ending, SpooledReply
from models.ledger.batch_counts import ADD, ends, more
from models.ledger.budgets import settle
from models.outcome import HALF_PRICE, IN_BATCH, OPEN_STATES, Outcome, State
from models.schema.attempt import Attempt, closing_row
from models.schema.columns import columns_of, db_now
from models.schema.daily_cost import MARK_STALE
from models.schema.decision import DecisionRow, decision_row
from models.schema.job import AnswerRow, Job, TurnRow, answer_row

_NOW = db_now(0.0)
_ZERO = Decimal(0)
_ENDED: dict[str, Any] = {"lease_until": None, "crashes": 0}
_IS_OPEN = (Job.id == bindparam("job_id")) & Job.state.in_([literal(state) for state in OPEN_STATES])
# No later claim exists, though a rescue may have taken us for lost: our reply is still the job's answer.
_IS_STILL_OURS = _IS_OPEN & (Job.lease_token == bindparam("token"))
_WAITS_FOR_ITEM = _IS_STILL_OURS & (Job.state == State.WAITING) & (Job.outcome == IN_BATCH)


class _Ends(NamedTuple):
    """The statements that finish and park a job, if the job fulfils a condition."""

    finish: ReturningUpdate[Any]
    park: ReturningUpdate[Any]


def _ends_if(condition: ColumnElement[bool]) -> _Ends:
    end = update(Job).where(condition).returning(Job.batch_id)
    return _Ends(
        finish=end.values(finished_at=_NOW, due_at=None, **_ENDED),
        park=end.values(due_at=db_now(bindparam("due_in_s")), sent_at=None, **_ENDED),
    )


_OURS, _OPEN, _WAITING = _ends_if(_IS_STILL_OURS), _ends_if(_IS_OPEN), _ends_if(_WAITS_FOR_ITEM)
_UNPACKED = _ends_if(_IS_STILL_OURS & (Job.state == State.WAITING) & (Job.outcome == HALF_PRICE))
_GO_ON = (
    update(Job)
    .where(_IS_STILL_OURS, Job.state == State.WAITING, Job.due_at.is_(None), Job.outcome == Outcome.UNKNOWN)
    # A lease that is over: the next rescuer decides how the job goes on, with the attempt's end known.
    .values(state=State.RUNNING, outcome=None, error=None, lease_until=_NOW, sent_at=func.coalesce(Job.sent_at, _NOW))
)
_DECIDED = insert(DecisionRow)
_CLOSE = (
    update(Attempt)
    .where(Attempt.id == bindparam("attempt_id"), Attempt.closed_at.is_(None))
    .values(closed_at=_NOW)
    .returning(
        *(Attempt.reserved_nano_usd, Attempt.budgets, Attempt.unknown_at, Attempt.opened_at, Attempt.closed_at),
        Attempt.batch_id,
    )
)
_KEPT = (
    select(Attempt.outcome, Attempt.rung, Attempt.served_model, Attempt.fallback_depth)
    .join(AnswerRow, AnswerRow.attempt_id == Attempt.id)
    .where(AnswerRow.job_id == bindparam("job_id"))
)
_MOST_UNCOUNTED = 10_000  # each served request is a batch of its own


class JobEnds:
    """Writes ends by the cursor of a transaction, and the changes of each batch's counts."""

    def __init__(self, engine: Engine, *, worker: str) -> None:
        self._worker = worker
        self._uncounted: set[str | None] = {None}  # small batches, as far as their claims have shown
        self._keep, self._keep_turn = _keep(engine, AnswerRow), _keep(engine, TurnRow)

    def is_counted(self, batch_id: str | None) -> bool:
        """Return whether the changes of a batch are added to its counts."""
        return batch_id not in self._uncounted

    def leave_uncounted(self, batch_id: str | None) -> None:
        """Note that a batch has no counts."""
        if len(self._uncounted) > _MOST_UNCOUNTED:
            self._uncounted = {None}  # changes of a forgotten one are written nowhere
        self._uncounted.add(batch_id)

    def replay(self, cursor: Cursor, kept: SpooledReply) -> None:
        """Write a reply of the spool. A job that is held for the sake of the reply goes on."""
        if kept.ending is not None:
            self.finish(cursor, kept.job_id, kept.token, kept.ending, kept.closing)
        else:
            cursor.count(_GO_ON, {"job_id": kept.job_id, "token": kept.token})
            self.close(cursor, kept.closing, is_late=False)

    def finish_item(self, cursor: Cursor, job_id: str, token: int, ending: Ending, closing: Closing) -> Ending | None:
        """Close an item of a message batch, and move its job on. Returns None if the job went on without the item.

        The first answer is the job's, also if the job went live meanwhile. A live answer is then late.
        """
        is_answer = ending.state is State.SUCCEEDED
        return self._end(cursor, _OPEN if is_answer else _WAITING, job_id, token, ending, closing)

    def park_unpacked(self, cursor: Cursor, ends: Sequence[tuple[Claim, Ending]]) -> None:
        """Park jobs that wait for a place in a message batch. A job that went on meanwhile stays unchanged."""
        for claim, ending in ends:
            self._end(cursor, _UNPACKED, claim.job_id, claim.token, ending, None)

    def finish(self, cursor: Cursor, job_id: str, token: int, ending: Ending, closing: Closing | None) -> Ending | None:
        """Close an attempt, keep the answer, and move the job on. Returns the ending, None if the job is not ours.

        A job that fails after a cut answer of a message batch succeeds with that answer.
        """
        return self._end(cursor, _OURS, job_id, token, ending, closing)

    def _end(
        self, cursor: Cursor, which: _Ends, job_id: str, token: int, ending: Ending, closing: Closing | None
    ) -> Ending | None:
        if ending.state is State.FAILED:
            ending = _or_kept(ending, cursor.first(_KEPT, {"job_id": job_id}))
        row = columns_of(ending, Job) | {"job_id": job_id, "token": token}
        if ending.due_in_s is None:
            ended = cursor.first(which.finish, row)
        else:
            ended = cursor.first(which.park, row | {"due_in_s": ending.due_in_s})
        is_ours = ended is not None
        if ended is not None:
            self.note(cursor, ended["batch_id"], **ends(ending.state, ending.outcome))
        if closing is not None:
            self.close(cursor, closing, is_late=not is_ours)
            if is_ours and ending.message is not None and _is_answer(ending):
                cursor.count(self._keep, answer_row(job_id, closing, ending))
        if is_ours and ending.message is not None and not _is_answer(ending):
            cursor.count(self._keep_turn, {"job_id": job_id, "message": ending.message})
        if is_ours:
            for number, decided in enumerate(ending.decisions, start=1):
                cursor.count(_DECIDED, decision_row(job_id, token, number, decided))
        return ending if is_ours else None

    def close(self, cursor: Cursor, closing: Closing, *, is_late: bool) -> None:
        """Close an attempt, and settle its reservations. A closed attempt stays unchanged."""
        row = cursor.first(_CLOSE, closing_row(closing, is_late=is_late) | {"attempt_id": closing.attempt_id})
        if row is None:
            return
        cost = closing.cost_usd
        self.note(cursor, row["batch_id"], unknown_costs=int(cost is None), cost_nano_usd=cost or _ZERO)
        settle(cursor.count, row, cost, least_usd=closing.least_usd)
        if row["opened_at"].date() != row["closed_at"].date():  # the rollup may have added up its day since
            cursor.count(MARK_STALE, {"of_day": row["opened_at"].date()})

    def note(self, cursor: Cursor, batch_id: str | None, **changes: Any) -> None:
        """Note changes of a batch's counts, for `count`."""
        if batch_id is not None and changes and batch_id not in self._uncounted:
            cursor.note(batch_id, **changes)

    def count(self, cursor: Cursor) -> None:
        """Add the noted changes to the counts."""
        # Counts are locked last, and in order: no locks ever cross.
        for batch_id in sorted(cursor.changes):
            cursor.count(ADD, more(batch_id, cursor.changes[batch_id], writer=self._worker))


def _is_answer(ending: Ending) -> bool:
    """Return whether the message is an answer. A cut one is kept while its job waits for a better one."""
    return ending.state is State.SUCCEEDED or ending.is_truncated


def _or_kept(ending: Ending, kept: Mapping[Any, Any] | None) -> Ending:
    if kept is None:
        return ending
    found = {name: kept[name] for name in ("rung", "outcome", "fallback_depth")}
    found |= {"state": State.SUCCEEDED, "error": None, "message": None, "model_used": kept["served_model"]}
    return replace(ending, is_truncated=True, **found)


def _keep(engine: Engine, table: type[AnswerRow | TurnRow]) -> Insert:
    """Return the statement that keeps an answer or a turn, in the place of the job's earlier one."""
    kept = (postgresql if engine.dialect.name == "postgresql" else sqlite).insert(table).values(created_at=_NOW)
    new = {column.name: kept.excluded[column.name] for column in table.__table__.columns if column.name != "job_id"}
    replacing: Insert = kept.on_conflict_do_update(index_elements=["job_id"], set_=new)
    return replacing
