"""Steps in SQL: laid out with their batch, waiting for their parts, and asked once all parts have ended."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, exists, insert, select, text, update

from models.database.engine import LedgerPart, reading, transaction
from models.job.answer import text_of
from models.job.map_reduce import (
    MISSING_PARTS,
    MissingPart,
    NewStep,
    OnFailedPart,
    PartAnswer,
    ReleasedSteps,
    named,
    question,
)
from models.ledger.batch_counts import add, ends
from models.outcome import FINAL_STATES, HALF_PRICE, OPEN_STATES, PART_FAILED, WAITS_FOR_PARTS, State
from models.schema.columns import db_now
from models.schema.job import IS_UNBEGUN, AnswerRow, Job
from models.schema.step import PartRow, Step, part_rows, step_row

_NOW = db_now(0.0)
_ROWS_AT_ONCE = 1000
_OPEN_PART = """
    SELECT 1 FROM parts JOIN jobs AS part ON part.id = parts.part_id
    WHERE parts.job_id = step.id AND part.state IN ('queued', 'running', 'waiting')
"""
# The state stands in the text: SQL uses a partial index only if the query has the index's own words.
_WAITING = "step.phase = 'waiting' AND step.outcome = 'parts'"
_RIPE = text(f"SELECT id FROM jobs AS step WHERE {_WAITING} AND NOT EXISTS ({_OPEN_PART}) LIMIT :count")  # noqa: S608
_BLOCKED = text(
    f"SELECT COUNT(*) FROM jobs AS step WHERE {_WAITING} AND batch_id = :batch_id AND EXISTS ({_OPEN_PART})"  # noqa: S608
)
# All parts of documents below a step that its prompt lacks. An answer on the way from part to step is missing.
_MISSING = text("""
    WITH RECURSIVE below (job_id, is_missing) AS (
        SELECT parts.part_id, answers.job_id IS NULL
        FROM parts LEFT JOIN answers ON answers.job_id = parts.part_id WHERE parts.job_id = :job_id
        UNION ALL
        SELECT parts.part_id, below.is_missing OR answers.job_id IS NULL
        FROM below JOIN parts ON parts.job_id = below.job_id LEFT JOIN answers ON answers.job_id = parts.part_id
    )
    SELECT steps.label, jobs.state, jobs.outcome FROM below
    JOIN steps ON steps.job_id = below.job_id JOIN jobs ON jobs.id = below.job_id
    WHERE below.is_missing AND steps.level = 0 ORDER BY jobs.seq
""")
_PART = Job.__table__.alias("part")
_HAS_OPEN_PART = (
    exists()
    .where(PartRow.job_id == Job.id, _PART.c.id == PartRow.part_id, _PART.c.state.in_(OPEN_STATES))
    .correlate(Job.__table__)
)
_HAS_PARTS = exists().where(PartRow.job_id == Job.id).correlate(Job.__table__)
_ASKED = (Job.batch_id, Job.params, Job.columns, Job.lane, Job.deadline_at)
_IS_WAITING = (Job.id == bindparam("job")) & (Job.state == State.WAITING) & (Job.outcome == WAITS_FOR_PARTS)


class Steps(LedgerPart):
    """Lets steps go on once their parts have ended. Raises LedgerError if the ledger is away."""

    def release_ready_steps(self, *, limit: int, live_s: float) -> ReleasedSteps:
        """Queue steps whose parts have all ended. Fail a step with OnFailedPart.STOP if a part has no answer.

        A half-price step waits for a message batch until `live_s` seconds before its deadline. Each step is one
        transaction, which finds the step waiting or does nothing: a second run is harmless.
        """
        with reading(self._engine) as connection:
            ripe = connection.scalars(_RIPE, {"count": limit}).all()
        ended = [self._release_ready_steps(job_id, live_s) for job_id in ripe]
        stopped = ended.count(State.FAILED)
        return ReleasedSteps(asked=len(ended) - ended.count(None) - stopped, stopped=stopped)

    def _release_ready_steps(self, job_id: str, live_s: float) -> State | None:
        with transaction(self._engine) as connection:
            step = connection.execute(
                select(Step.pieces, Step.on_failed_part, *_ASKED)
                .join(Job, Job.id == Step.job_id)
                .where(Step.job_id == job_id)
            ).one()
            answers, missing = list(_part_answers(connection, job_id)), list(_missing(connection, job_id))
            is_stopped = not answers or (missing and step.on_failed_part == OnFailedPart.STOP)
            if is_stopped or step.pieces is None:
                error = f"without an answer: {', '.join(named(missing))}"
                new: dict[str, Any] = {"state": State.FAILED, "outcome": PART_FAILED, "error": error}
                new["finished_at"] = _NOW
            else:
                asked = question(step.pieces, answers, missing)
                params = {**step.params, "messages": [{"role": "user", "content": asked}]}
                columns = _with_missing(step.columns, missing)
                new = {"state": State.QUEUED, "outcome": None, "error": None, "params": params, "columns": columns}
                if step.lane == HALF_PRICE:
                    live_from = step.deadline_at - timedelta(seconds=live_s)
                    new |= {"state": State.WAITING, "outcome": HALF_PRICE, "due_at": live_from}
            statement = update(Job).where(_IS_WAITING, ~_HAS_OPEN_PART).values({"due_at": None, "sent_at": None, **new})
            is_ours = connection.execute(statement, {"job": job_id}).rowcount
            if is_ours:
                add(connection, step.batch_id, **ends(new["state"], new["outcome"]))
        return State(new["state"]) if is_ours else None


def lay_out(connection: Connection, batch_id: str, steps: Sequence[NewStep]) -> None:
    """Write the places of a batch's jobs, which exist already. Jobs that have parts wait for them."""
    for table, rows in ((Step, [step_row(batch_id, step) for step in steps]), (PartRow, part_rows(steps))):
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            connection.execute(insert(table), rows[start : start + _ROWS_AT_ONCE])
    _hold(connection, batch_id)


def reopen(connection: Connection, batch_id: str | None, again: Mapping[str, Any]) -> int:
    """Let the steps of a batch wait for parts that were queued again. Returns the number of steps that had ended.

    A step made without those parts, or of their earlier answers, is made anew. `again` holds the new columns of a job.
    """
    if batch_id is None or not connection.scalar(select(exists().where(Step.batch_id == batch_id))):
        return 0
    outdated = update(Job).where(
        Job.batch_id == batch_id, Job.state.in_(FINAL_STATES), Job.purged_at.is_(None), _HAS_OPEN_PART
    )
    count = 0
    _hold(connection, batch_id)
    while found := connection.execute(outdated.values(**again)).rowcount:
        count += found
        _hold(connection, batch_id)
    return count


def blocked(connection: Connection, batch_id: str) -> int:
    """Count the steps of a batch that wait for a part which has not ended."""
    return int(connection.execute(_BLOCKED, {"batch_id": batch_id}).scalar_one())


def forget(connection: Connection, job_ids: Sequence[str]) -> None:
    """Remove the prompts of steps whose jobs are purged."""
    connection.execute(update(Step).where(Step.job_id.in_(job_ids)).values(pieces=None))


IS_READ_LATER = (
    exists()
    .where(PartRow.part_id == Job.id, _PART.c.id == PartRow.job_id, _PART.c.state.in_(OPEN_STATES))
    .correlate(Job.__table__)
)


def _hold(connection: Connection, batch_id: str) -> None:
    """Let steps that could be called wait until their deadline: a worker ends them then, as any late job."""
    waits = {"state": State.WAITING, "outcome": WAITS_FOR_PARTS, "due_at": Job.deadline_at, "sent_at": None}
    connection.execute(update(Job).where(Job.batch_id == batch_id, IS_UNBEGUN, _HAS_PARTS).values(**waits))


def _part_answers(connection: Connection, job_id: str) -> Iterator[PartAnswer]:
    parts = (
        select(Step.label, AnswerRow.message)
        .join(PartRow, PartRow.part_id == Step.job_id)
        .join(AnswerRow, AnswerRow.job_id == Step.job_id)
        .where(PartRow.job_id == job_id)
        .order_by(PartRow.position)
    )
    for label, message in connection.execute(parts):
        yield PartAnswer(label=label, text=text_of(message))


def _missing(connection: Connection, job_id: str) -> Iterator[MissingPart]:
    for label, state, outcome in connection.execute(_MISSING, {"job_id": job_id}):
        yield MissingPart(label=label, outcome=None if state == State.SUCCEEDED else outcome)


def _with_missing(columns: Mapping[str, str], missing: Sequence[MissingPart]) -> dict[str, str]:
    kept = {name: value for name, value in columns.items() if name != MISSING_PARTS}
    return {**kept, MISSING_PARTS: "; ".join(named(missing))} if missing else kept
