"""The job: one prompt to be answered once; and its answer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    Text,
    UniqueConstraint,
    bindparam,
    false,
    literal_column,
    select,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.job.values import Closing, Ending, NewJob
from models.outcome import HALF_PRICE, State
from models.schema.columns import Base, Id, Json, Line, Time, Word, columns_of, escaped_json

# The states stand in the text: SQL uses a partial index only if the query has the index's own words.
_IN_LINE = "phase = 'line' AND sent_at IS NULL"
QUEUED = f"{_IN_LINE} AND state = 'queued'"
WAITING = "phase = 'waiting' AND sent_at IS NULL"
IN_FLIGHT = "sent_at IS NOT NULL AND phase IN ('line', 'waiting')"  # in a queue of the broker, or running
SENT = f"{IN_FLIGHT} AND state <> 'running'"
RUNNING = f"{IN_FLIGHT} AND state = 'running'"
# Jobs that wait for a model.
THROTTLED = (
    f"{WAITING} AND outcome IN ('circuit_open', 'limited', 'full', "
    "'rate_limited', 'ramp_limited', 'key_paused', 'overloaded', 'server_error', 'unreachable')"
)

TO_PACK = "phase = 'waiting' AND outcome = 'half_price'"  # into a message batch

# Indexes name the phase, not the state and not the lease. A claim and a renewal then change no indexed column, so that
# Postgres writes both in place. A cancelled job with a lease has a call in flight, whose worker may be gone.
PHASE = """
    CASE WHEN state IN ('queued', 'running') THEN 'line'
        WHEN state = 'waiting' AND due_at IS NOT NULL THEN 'waiting'
        WHEN state = 'waiting' THEN 'held'
        WHEN state = 'cancelled' AND lease_until IS NOT NULL THEN 'cut' END
"""

REFUSED = "refused"  # a start_reason: no model was to be asked


def _partial(name: str, where: str, *columns: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class Job(Base):
    """One row a prompt. Rungs count from 0, the primary; times are the database's clock, in UTC."""

    __tablename__ = "jobs"

    id: Mapped[Id] = mapped_column(primary_key=True)
    batch_id: Mapped[Id | None] = mapped_column(ForeignKey("batches.id"))
    seq: Mapped[int]  # place in the batch, from 1
    prompt_id: Mapped[Line]  # the caller's own id
    task: Mapped[Line | None]
    params: Mapped[Json]  # Messages API parameters without the model
    headers: Mapped[Json | None]  # anthropic-version and anthropic-beta of the caller; NULL if no such header
    columns: Mapped[Json]  # the input's own columns, given back with the answer

    start_model: Mapped[Line | None]  # the model of `start_rung` when the job was accepted
    start_rung: Mapped[int]
    floor_rung: Mapped[int]
    ceiling_rung: Mapped[int]

    is_urgent: Mapped[bool] = mapped_column(default=False, server_default=false())  # never behind bulk
    lane: Mapped[Word | None]  # half_price if its answer may come from a message batch; NULL: live
    patience_ms: Mapped[int | None]  # the longest wait for a rung's limits; NULL: PATIENCE_S
    climb_on: Mapped[Line | None]  # outcomes by comma that climb; NULL: CLIMB_ON
    expects: Mapped[Json | None]  # the checks of an answer; NULL: any answer is accepted
    prefix: Mapped[Line | None]  # digest of the system prompt that the batch shares; NULL: none worth a cache
    start_reason: Mapped[Word | None]  # the reason of its start: asked, learned, explored; or refused; NULL: its task's
    raised_max_tokens: Mapped[int | None]  # the max_tokens raised once after a truncated answer

    parent: Mapped[Line | None]  # the job that made the call, or the caller's own run
    tree: Mapped[Line | None]  # the top of the tree: its first job, or that run; NULL if in no tree of calls
    call_depth: Mapped[int | None]  # the depth in its tree, from 1

    state: Mapped[Word]
    outcome: Mapped[Word | None]  # the end of the last attempt, or the reason why none was made
    error: Mapped[str | None] = mapped_column(Text)  # the provider's words, for the person who asks
    rung: Mapped[int]  # the present rung; its queue
    given_up: Mapped[Json]  # rung -> the reason why it was given up
    rounds: Mapped[int] = mapped_column(default=0)  # times every rung was tried in vain

    on_unknown: Mapped[Word | None]  # hold or rebuy, if the caller chose
    crashes: Mapped[int] = mapped_column(default=0, server_default="0")  # workers lost with it, in a row
    rebuys: Mapped[int] = mapped_column(default=0, server_default="0")  # calls bought again though one may be billed

    lease_token: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[Time | None]
    lease_holder: Mapped[Line | None]
    deliveries: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[Time | None]  # NULL if its message is not in the broker
    due_at: Mapped[Time | None]  # of a waiting job; NULL if held until a person decides
    deadline_at: Mapped[Time]
    created_at: Mapped[Time]
    finished_at: Mapped[Time | None]
    purged_at: Mapped[Time | None]  # when its prompt and its answer were removed

    model_used: Mapped[Line | None]
    fallback_depth: Mapped[int | None]

    phase: Mapped[Word | None] = mapped_column(Computed(PHASE, persisted=True))  # NULL once the job has ended

    __table_args__ = (
        UniqueConstraint("batch_id", "prompt_id"),
        Index("ix_jobs_batch_id_seq", "batch_id", "seq"),
        _partial("ix_jobs_finished_at", "finished_at IS NOT NULL", "finished_at"),
        # The dispatcher's queries of every second must not scan the finished jobs.
        _partial("ix_jobs_queued", _IN_LINE, "is_urgent", "rung", "batch_id", "deadline_at", "seq"),
        _partial("ix_jobs_due", WAITING, "is_urgent", "rung", "batch_id", "due_at"),
        # the dispatcher makes them due as soon as a model has room
        _partial("ix_jobs_throttled", THROTTLED, "due_at"),
        _partial("ix_jobs_sent", IN_FLIGHT, "sent_at"),
        _partial("ix_jobs_held", "phase = 'held'", "batch_id"),
        # steps that wait for their parts
        _partial("ix_jobs_parts", "phase = 'waiting' AND outcome = 'parts'", "batch_id"),
        # jobs that wait for a message batch to be made
        _partial("ix_jobs_half_price", TO_PACK, "rung", "due_at"),
        # few, and counted before another job explores
        _partial("ix_jobs_explored", "start_reason = 'explored'", "task", "created_at"),
        _partial("ix_jobs_cut", "phase = 'cut'", "id"),
        _partial("ix_jobs_tree", "tree IS NOT NULL", "tree"),
        _partial("ix_jobs_parent", "parent IS NOT NULL", "parent"),
        # `ix_jobs_sent` finds a running job.
        CheckConstraint("state <> 'running' OR sent_at IS NOT NULL", name="running_sent"),
    )


_THIS_JOB = Job.__table__.alias("this_job")
# The id of the job `job_id`, locked; NULL if another transaction holds the job. SQLite has one writer.
FREE_JOB = (
    select(_THIS_JOB.c.id)
    .where(_THIS_JOB.c.id == bindparam("job_id"))
    .with_for_update(skip_locked=True)
    .scalar_subquery()
)


def free_jobs(number: str, condition: str) -> str:
    """Return Postgres' condition for the jobs `ids` whose column `number` is as in `numbers`, each locked.

    A job that another transaction holds is passed over.
    """
    return f"""jobs.id = ANY(ARRAY(
        SELECT job.id FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS int[])) AS known (id, number)
        JOIN jobs AS job ON job.id = known.id AND job.{number} = known.number AND job.{condition}
        FOR UPDATE OF job SKIP LOCKED
    ))"""  # noqa: S608 - of our own words


class AnswerRow(Base):
    """The Message of a succeeded job, as received."""

    __tablename__ = "answers"

    job_id: Mapped[Id] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    attempt_id: Mapped[Id] = mapped_column(ForeignKey("attempts.id"))
    message: Mapped[Json]
    is_truncated: Mapped[bool]
    created_at: Mapped[Time]


class TurnRow(Base):
    """The last Message of a failed job, as received: refused, paused or without a word."""

    __tablename__ = "turns"

    job_id: Mapped[Id] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    message: Mapped[Json]
    created_at: Mapped[Time]


IS_UNBEGUN = (Job.state == State.QUEUED) | ((Job.state == State.WAITING) & (Job.outcome == HALF_PRICE))
IS_HELD = Job.phase == literal_column("'held'")  # as in the partial index


class JobRow(NamedTuple):
    """A new job as columns: six of its own, and the `shared` columns, in which many jobs are alike.

    `params` and `columns` are JSON. A shared column that is NULL is left out.
    """

    id: str
    seq: int
    prompt_id: str
    params: str
    columns: str
    prefix: str | None
    shared: Mapping[str, Any]


OWN_COLUMNS = JobRow._fields[:-1]


def job_row(batch_id: str | None, job: NewJob) -> JobRow:
    """Return the columns of a new job, queued at its own start or refused."""
    texts = escaped_json(job.params), escaped_json(job.columns)
    return JobRow(job.id, job.seq, job.prompt_id, *texts, job.prefix, shared_columns(batch_id, job))


def shared_columns(batch_id: str | None, job: NewJob) -> dict[str, Any]:
    """Return the columns of a new job beside its own. JSON and words are text for the driver.

    `deadline_s` and `due_s` are no columns: the writer turns them into times.
    """
    branch, refused = job.branch, job.refused
    row = columns_of(job, Job) | {
        "batch_id": batch_id,
        "headers": None if job.headers is None else escaped_json(job.headers),
        "expects": None if job.expects is None else escaped_json(job.expects),
        "start_rung": job.span.start,
        "floor_rung": job.span.floor,
        "ceiling_rung": job.span.ceiling,
        "is_urgent": job.is_urgent or None,  # false by default
        "patience_ms": None if job.patience_s is None else round(job.patience_s * 1000),
        "climb_on": None if job.climb_on is None else ",".join(sorted(job.climb_on)),
        "start_reason": job.start_reason if refused is None else REFUSED,
        "parent": branch and branch.parent,
        "tree": branch and branch.tree,
        "call_depth": branch and branch.depth,
        **_begin(job),
        "error": refused and refused.error,
        "rung": job.span.start,
        "given_up": "{}",
        "on_unknown": None if job.on_unknown is None else str(job.on_unknown),
        **dict.fromkeys(("rounds", "crashes", "rebuys", "lease_token", "deliveries"), 0),
        "deadline_s": job.deadline_s,
        "due_s": job.live_from_s,
    }
    return {name: value for name, value in row.items() if value is not None and name not in OWN_COLUMNS}


def _begin(job: NewJob) -> dict[str, Any]:
    if job.refused is not None:
        return {"state": State.FAILED.value, "outcome": job.refused.outcome.value}
    if job.live_from_s is not None:
        return {"state": State.WAITING.value, "outcome": HALF_PRICE, "lane": HALF_PRICE}
    return {"state": State.QUEUED.value}


def answer_row(job_id: str, closing: Closing, ending: Ending) -> dict[str, Any]:
    """Return the columns of the answer that finishes a job."""
    return {
        "job_id": job_id,
        "attempt_id": closing.attempt_id,
        "message": ending.message,
        "is_truncated": ending.is_truncated,
    }
