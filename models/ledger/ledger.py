"""All writes to the ledger's database. Each method is one transaction; a job is locked before its attempt."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, Insert, bindparam, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from models.errors import LedgerError
from models.ids import new_id
from models.job.map_reduce import NewStep
from models.job.values import Claim, Closing, Ending, NewBatch, NewJob, Opening, OverCap, SpooledReply
from models.ledger.batches import BatchWriter
from models.ledger.budgets import over_cap, reserve, settle
from models.ledger.claims import CLAIM, claim_of
from models.ledger.compiled_sql import CompiledSql, Cursor
from models.ledger.database import UNREACHABLE, reading, transaction, unreachable
from models.money.pricing import Price
from models.outcome import OPEN_STATES, Outcome, State
from models.schema.attempt import OPENING_COLUMNS, Attempt, closing_row, opening_row, opening_values
from models.schema.columns import columns_of, db_now
from models.schema.daily_cost import MARK_STALE
from models.schema.decision import DecisionRow, decision_row
from models.schema.job import AnswerRow, Job, TurnRow, answer_row, job_row
from models.schema.price import PriceRow, price_row

_TICK = timedelta(milliseconds=1)  # the resolution of SQLite's clock
_NOW = db_now(0.0)

_IS_OURS = (Job.id == bindparam("job_id")) & (Job.lease_token == bindparam("token")) & (Job.state == State.RUNNING)
# No later claim exists, though a rescue may have taken us for lost: our reply is still the job's answer.
_IS_STILL_OURS = (
    (Job.id == bindparam("job_id"))
    & (Job.lease_token == bindparam("token"))
    & Job.state.in_([literal(state) for state in OPEN_STATES])
)
_ENDED: dict[str, Any] = {"lease_until": None, "crashes": 0}
_FINISH = update(Job).where(_IS_STILL_OURS).values(finished_at=_NOW, due_at=None, **_ENDED)
_PARK = update(Job).where(_IS_STILL_OURS).values(due_at=db_now(bindparam("due_in_s")), sent_at=None, **_ENDED)
_GO_ON = (
    update(Job)
    .where(_IS_STILL_OURS, Job.state == State.WAITING, Job.due_at.is_(None), Job.outcome == Outcome.UNKNOWN)
    # A lease that is over: the next rescuer decides how the job goes on, with the attempt's end known.
    .values(state=State.RUNNING, outcome=None, error=None, lease_until=_NOW)
)
_OPEN = (
    insert(Attempt)
    .from_select(OPENING_COLUMNS, select(*opening_values()).select_from(Job).where(_IS_OURS).with_for_update())
    .returning(Attempt.opened_at)
)
_DECIDED = insert(DecisionRow)
_CLOSE = (
    update(Attempt)
    .where(Attempt.id == bindparam("attempt_id"), Attempt.closed_at.is_(None))
    .values(closed_at=_NOW)
    .returning(Attempt.reserved_nano_usd, Attempt.budgets, Attempt.unknown_at, Attempt.opened_at, Attempt.closed_at)
)

_LATEST_PRICE = (
    select(PriceRow.__table__)
    .where(PriceRow.model == bindparam("of_model"), PriceRow.is_override.is_(False))
    .order_by(PriceRow.valid_from.desc())
    .limit(1)
)


class Ledger(BatchWriter):
    """The record of every job, attempt, answer and price. Raises LedgerError if the database cannot be reached."""

    def __init__(self, engine: Engine, *, worker: str) -> None:
        super().__init__(engine)
        self._prepared = CompiledSql(engine)
        self._keep, self._keep_turn = _keep(engine, AnswerRow), _keep(engine, TurnRow)
        self.worker = worker
        self._where = engine.url.render_as_string(hide_password=True)

    @contextmanager
    def _hot(self) -> Iterator[Cursor]:
        """Open one of the transactions that every job makes. A broken constraint, our mistake, stays bare."""
        driver = self._engine.dialect.loaded_dbapi
        try:
            with self._prepared.transaction() as cursor:
                yield cursor
        except driver.IntegrityError:
            raise
        except (*UNREACHABLE, driver.Error) as error:
            raise unreachable(error, self._where) from error

    def enqueue(self, batch: NewBatch, jobs: Sequence[NewJob], steps: Sequence[NewStep] = ()) -> str:
        """Write a batch, its jobs and their places, as `enqueue_rows` does. Returns the id of their batch."""
        return self.enqueue_rows(batch, (job_row(batch.id, job) for job in jobs), count=len(jobs), steps=steps)

    def look(self) -> None:
        """Raise LedgerGoneError if the opened file of SQLite was removed or replaced."""
        if self._engine.dialect.name == "sqlite":
            with reading(self._engine):
                return

    def claim(self, job_id: str, *, lease_s: float) -> Claim | None:
        """Take a job that is queued or due. Returns None if another worker has the job, or the job is finished."""
        given = {"job_id": job_id, "lease_s": lease_s, "holder": self.worker}
        with self._hot() as cursor:
            row = cursor.first(CLAIM, given)
        return None if row is None else claim_of(job_id, row)

    def open_attempt(self, claim: Claim, opening: Opening) -> bool | OverCap:
        """Commit an attempt and its reservations before its request leaves.

        Returns False if the job is no longer ours, OverCap if a cap has no room. Then nothing is written or sent.
        """
        with self._hot() as cursor:
            row = cursor.first(_OPEN, opening_row(claim, opening, self.worker))
            if row is None:
                return False
            over = reserve(cursor, opening, opened_at=row["opened_at"])
            if over is not None:
                cursor.undo()
            return over or True

    def over_cap(self, opening: Opening) -> OverCap | None:
        """Return a cap that has no room for an attempt, whatever the calls in flight cost. Nothing is written."""
        with self._hot() as cursor:
            return over_cap(cursor, opening)

    def close_attempt(self, _claim: Claim, closing: Closing) -> None:
        """Write the end of an attempt, while its job goes on."""
        with self._hot() as cursor:
            _close(cursor, closing, is_late=False)

    def finish(self, claim: Claim, ending: Ending, closing: Closing | None) -> bool:
        """Close the attempt, keep the answer and move the job on, in one commit.

        Returns False if the job is no longer ours. Then the attempt is closed as late, still with its cost: the money
        is spent. The job stays with its new owner.
        """
        with self._hot() as cursor:
            return self._finish(cursor, claim.job_id, claim.token, ending, closing)

    def replay(self, kept: SpooledReply) -> bool:
        """Write the result of a call from the spool. Returns False if the ledger has the result already.

        A job that is held for the sake of this reply goes on.
        """
        attempt_id = kept.closing.attempt_id
        has_answer = select(AnswerRow.job_id).where(AnswerRow.attempt_id == attempt_id).exists()
        with transaction(self._engine) as connection:
            found = connection.execute(select(Attempt.closed_at, has_answer).where(Attempt.id == attempt_id)).first()
        if found is None:
            raise LedgerError(f"ledger {self._where}: has no attempt {attempt_id}: is it another ledger?")
        closed_at, is_answer = found
        # A truncated answer is closed before its climb, and may become its job's answer only after that.
        is_good = kept.ending is not None and kept.ending.state is State.SUCCEEDED
        may_answer = is_good and not is_answer
        if closed_at is not None and not may_answer:
            return False
        with self._hot() as cursor:
            if kept.ending is not None:
                self._finish(cursor, kept.job_id, kept.token, kept.ending, kept.closing)
            else:
                cursor.count(_GO_ON, {"job_id": kept.job_id, "token": kept.token})
                _close(cursor, kept.closing, is_late=False)
        return True

    def _finish(self, cursor: Cursor, job_id: str, token: int, ending: Ending, closing: Closing | None) -> bool:
        row = columns_of(ending, Job) | {"job_id": job_id, "token": token}
        if ending.due_in_s is None:
            is_ours = bool(cursor.count(_FINISH, row))
        else:
            is_ours = bool(cursor.count(_PARK, row | {"due_in_s": ending.due_in_s}))
        if closing is not None:
            _close(cursor, closing, is_late=not is_ours)
            if is_ours and ending.message is not None and ending.state is State.SUCCEEDED:
                cursor.count(self._keep, answer_row(job_id, closing, ending))
        if is_ours and ending.message is not None and ending.state is not State.SUCCEEDED:
            cursor.count(self._keep_turn, {"job_id": job_id, "message": ending.message})
        if is_ours:
            for number, decided in enumerate(ending.decisions, start=1):
                cursor.count(_DECIDED, decision_row(job_id, token, number, decided))
        return is_ours

    def record_prices(self, prices: Sequence[Price]) -> None:
        """Add a dated row for each model whose rates are new. Earlier rows stay."""
        with transaction(self._engine) as connection:
            for price in prices:
                latest = connection.execute(_LATEST_PRICE, {"of_model": price.model}).mappings().first()
                row = price_row(price)
                if latest is None or any(latest[name] != value for name, value in row.items()):
                    now = connection.execute(select(_NOW)).scalar_one()
                    at = now if latest is None else max(now, latest["valid_from"] + _TICK)
                    new = postgresql.insert(PriceRow).values(id=new_id(), valid_from=at, **row)
                    connection.execute(new.on_conflict_do_nothing())  # workers that start together find the same prices


def _keep(engine: Engine, table: type[AnswerRow | TurnRow]) -> Insert:
    """Return the statement that keeps an answer or a turn, in the place of the job's earlier one."""
    kept = (postgresql if engine.dialect.name == "postgresql" else sqlite).insert(table).values(created_at=_NOW)
    new = {column.name: kept.excluded[column.name] for column in table.__table__.columns if column.name != "job_id"}
    replacing: Insert = kept.on_conflict_do_update(index_elements=["job_id"], set_=new)
    return replacing


def _close(cursor: Cursor, closing: Closing, *, is_late: bool) -> None:
    row = cursor.first(_CLOSE, closing_row(closing, is_late=is_late) | {"attempt_id": closing.attempt_id})
    if row is None:
        return
    settle(cursor.count, row, closing.cost_usd)
    if row["opened_at"].date() != row["closed_at"].date():  # the rollup may have added up its day since
        cursor.count(MARK_STALE, {"of_day": row["opened_at"].date()})
