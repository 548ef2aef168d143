"""The one history that learning reads: models by task kind, the newest answers, and jobs as they went."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, case, func, select

from models.accounting.exports import between
from models.chain.best_start import StartRecord
from models.database.engine import LedgerPart, reading, transaction
from models.money.token_estimate import PromptSize, prompt_size
from models.money.usage import COUNTERS, Usage
from models.outcome import OPEN_STATES, Outcome, State
from models.schema.attempt import Attempt
from models.schema.job import Job
from models.schema.views import ATTEMPTS, BATCH_LATENCY, STARTS

MOST_ANSWERS = 1_000  # of one model and task kind
_LOOKED_AT = 20_000  # of the newest answers: a model without recent use must not cost a scan of the ledger
_JOBS_AT_ONCE = 100
_ROWS_AT_ONCE = 1_000
_MOST_CHARACTERS = 50_000_000  # of prompts read: some seconds
_UNACCEPTED = ("truncated", "refused", "empty", "invalid", "too_long")
_TOKENS = tuple(name for name in COUNTERS if name != "web_searches")
_TIER = ("service_tier", "speed", "inference_geo")
_OF_A_CALL = ("requested_model", "opened_at", *COUNTERS, *_TIER, "cost_nano_usd")
_WITH_OUTPUT = (Outcome.ANSWERED, Outcome.TRUNCATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The jobs in question: by the UTC days of their end, both included; by task kind; by batch."""

    since: date | None = None
    until: date | None = None
    task: str | None = None
    batch_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The attempt that shows the length of a job's prompt and answer. `usage` and `cost_usd` are None if unknown."""

    model: str
    at: datetime
    usage: Usage | None
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedJob:
    """A job that has ended. `floor` and `ceiling` are rungs of the chain of its day; `call` is None without attempts.

    `attempts` leaves out items of message batches that never ran. `cost_usd` is the sum of the known costs;
    `unknown_costs` counts the attempts beside that sum.
    """

    task: str | None
    is_answered: bool
    start_model: str | None
    start_reason: str | None
    floor: int
    ceiling: int
    climbs: frozenset[str] | None
    fallback_depth: int
    attempts: int
    cost_usd: Decimal
    unknown_costs: int
    call: Call | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLength:
    """The length of a prompt in characters and tokens, of its answer in tokens, and the request's max_tokens."""

    model: str
    task: str
    prompt_tokens: int
    output_tokens: int
    size: PromptSize
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTimes:
    """The seconds that the message batches of a model took lately: half of them, and 19 of 20, at most."""

    message_batches: int
    p50_s: float
    p95_s: float


class JobHistory(LedgerPart):
    """Reads the history. Raises LedgerError if the ledger is away."""

    def records(self) -> dict[tuple[str, str], StartRecord]:
        """Return each model's record at each task kind in the last 30 days: v_starts, by task kind and model."""
        return {(row["task"], row["model"]): _record(row) for row in self._rows(select(STARTS))}

    def jobs(self, scope: Scope) -> Iterator[RecordedJob]:
        """Read the jobs that succeeded or failed, a thousand at a time."""
        with transaction(self._engine) as connection:  # a cursor of Postgres lives in a transaction
            for jobs in connection.execute(_jobs(scope)).mappings().partitions():
                rows = connection.execute(_calls([job["id"] for job in jobs])).mappings()
                calls = {row["job_id"]: row for row in rows}
                yield from (_recorded(job, calls.get(job["id"])) for job in jobs)

    def left_out(self, scope: Scope) -> Counter[str]:
        """Count by state the jobs that `jobs` leaves out: cancelled jobs, and the open jobs of all days."""
        states: Any = select(Job.state, func.count()).group_by(Job.state)
        cancelled = _of(_ended(states.where(Job.state == State.CANCELLED), scope), scope)
        is_open = _of(states.where(Job.state.in_(OPEN_STATES)), scope)
        with reading(self._engine) as connection:
            rows = [*connection.execute(cancelled), *connection.execute(is_open)]
        return Counter({state: count for state, count in rows})  # noqa: C416 - rows, made plain

    def batch_times(self) -> dict[str, BatchTimes]:
        """Return the times of message batches by model, of models with an end in the last 30 days."""
        names = [field.name for field in fields(BatchTimes)]
        found = self._rows(select(BATCH_LATENCY).where(BATCH_LATENCY.c.p50_s.is_not(None)))
        return {row["model"]: BatchTimes(**{name: row[name] for name in names}) for row in found}

    def answer_lengths(self) -> list[AnswerLength]:
        """Return the lengths of the newest answers, the newest first. A purged prompt has no length."""
        with reading(self._engine) as connection:
            return [*_answer_lengths(connection)]


def _record(row: RowMapping) -> StartRecord:
    counts = {name: row[name] for name in ("judged", "accepted", "climbed", "climbed_accepted", "unknown_costs")}
    unaccepted = {word: row[word] for word in _UNACCEPTED}
    return StartRecord(**counts, unaccepted=unaccepted, mean_cost_usd=row["mean_cost_nano_usd"])


def _jobs(scope: Scope) -> Select[Any]:
    columns: tuple[Any, ...] = (
        *(Job.id, Job.task, Job.state, Job.start_model, Job.start_reason, Job.floor_rung, Job.ceiling_rung),
        *(Job.climb_on, Job.fallback_depth),
    )
    ended = select(*columns).where(Job.state.in_([State.SUCCEEDED, State.FAILED]))
    return _of(_ended(ended, scope), scope).execution_options(yield_per=_ROWS_AT_ONCE)


def _calls(job_ids: Sequence[str]) -> Select[Any]:
    """Select the sums of each job's attempts, beside the attempt that shows most of the job's length."""
    attempt, of_job = ATTEMPTS.c, dict[str, Any](partition_by=ATTEMPTS.c.job_id)
    has_usage = case((attempt.output_tokens.is_not(None), 0), else_=1)
    has_output = case((attempt.outcome.in_(_WITH_OUTPUT), 0), else_=1)
    each = select(
        attempt.job_id,
        *(attempt[name] for name in _OF_A_CALL),
        func.count().over(**of_job).label("attempts"),
        func.count(case((attempt.outcome == Outcome.NOT_RUN, 1))).over(**of_job).label("not_run"),
        func.sum(attempt.cost_nano_usd).over(**of_job).label("known_nano_usd"),
        func.count(attempt.cost_nano_usd).over(**of_job).label("known_costs"),
        func.first_value(attempt.requested_model).over(**of_job, order_by=attempt.attempt_no).label("first_model"),
        func.row_number().over(**of_job, order_by=(has_usage, has_output, attempt.attempt_no.desc())).label("place"),
    )
    calls = each.where(attempt.job_id.in_(job_ids)).subquery()
    return select(calls).where(calls.c.place == 1)


def _ended(asked: Select[Any], scope: Scope) -> Select[Any]:
    return between(asked.where(Job.finished_at.is_not(None)), Job.finished_at, scope.since, scope.until)


def _of(asked: Select[Any], scope: Scope) -> Select[Any]:
    asked = asked if scope.task is None else asked.where(Job.task == scope.task)
    return asked if scope.batch_id is None else asked.where(Job.batch_id == scope.batch_id)


def _recorded(job: RowMapping, call: RowMapping | None) -> RecordedJob:
    climbs = job["climb_on"]
    return RecordedJob(
        task=job["task"],
        is_answered=job["state"] == State.SUCCEEDED,
        start_model=job["start_model"] or (call["first_model"] if call else None),
        start_reason=job["start_reason"],
        floor=job["floor_rung"],
        ceiling=job["ceiling_rung"],
        climbs=None if climbs is None else frozenset(filter(None, climbs.split(","))),
        fallback_depth=job["fallback_depth"] or 0,
        attempts=call["attempts"] - call["not_run"] if call else 0,
        cost_usd=(call and call["known_nano_usd"]) or Decimal(0),
        unknown_costs=call["attempts"] - call["known_costs"] if call else 0,
        call=_call(call) if call else None,
    )


def _call(row: RowMapping) -> Call:
    usage = None
    if all(row[name] is not None for name in _TOKENS):
        counters: dict[str, Any] = {name: row[name] or 0 for name in COUNTERS}
        usage = Usage(**counters, **{name: row[name] for name in _TIER})
    return Call(model=row["requested_model"], at=row["opened_at"], usage=usage, cost_usd=row["cost_nano_usd"])


def _answer_lengths(connection: Connection) -> Iterator[AnswerLength]:
    chosen, counts = list[RowMapping](), defaultdict[tuple[str, str], int](int)
    for row in connection.execute(_newest()).mappings().all():
        kind = (row["requested_model"], row["task"] or "")
        counts[kind] += 1
        if counts[kind] <= MOST_ANSWERS:
            chosen.append(row)
    left = _MOST_CHARACTERS
    for begin in range(0, len(chosen), _JOBS_AT_ONCE):
        some = chosen[begin : begin + _JOBS_AT_ONCE]
        params = _params(connection, [row["job_id"] for row in some])
        for row in some:
            if (length := _answer_length(row, params.get(row["job_id"]))) is not None:
                left -= length.size.characters
                yield length
        if left < 0:
            return


def _newest() -> Any:
    is_answered = Attempt.outcome.in_(_WITH_OUTPUT) & Attempt.output_tokens.is_not(None)
    prompt = (
        Attempt.input_tokens + Attempt.cache_read_tokens + Attempt.cache_write_5m_tokens + Attempt.cache_write_1h_tokens
    )
    columns = (Attempt.job_id, Attempt.requested_model, Attempt.task, Attempt.output_tokens, prompt.label("prompt"))
    return select(*columns).where(is_answered).order_by(Attempt.id.desc()).limit(_LOOKED_AT)


def _params(connection: Connection, job_ids: Sequence[str]) -> dict[str, Any]:
    jobs = select(Job.id, Job.params).where(Job.id.in_(job_ids))
    return {job_id: params for job_id, params in connection.execute(jobs)}  # noqa: C416 - rows, made plain


def _answer_length(row: RowMapping, params: Any) -> AnswerLength | None:
    most = params.get("max_tokens") if isinstance(params, dict) else None
    if type(most) is not int or most < 1 or not row["prompt"]:
        return None
    return AnswerLength(
        model=row["requested_model"],
        task=row["task"] or "",
        prompt_tokens=row["prompt"],
        output_tokens=row["output_tokens"],
        size=prompt_size(params),
        max_tokens=most,
    )
