"""Reads what jobs were asked and how they went, for a replay: jobs that have ended, each with its attempts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, Integer, RowMapping, Select, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from models.accounting.exports import between
from models.chain.chain import Span
from models.chain.replay_odds import Tallies
from models.ledger.database import reading
from models.money.usage import Usage
from models.outcome import OPEN_STATES, State
from models.schema.attempt import Attempt
from models.schema.decision import DecisionRow
from models.schema.job import Job
from models.schema.views import ATTEMPTS

ASKED = "asked"  # why a job starts where it does: its caller chose
SLOT_S = 600
_AT_ONCE = 1_000
_NOT_NOW = ("cooling", "limited", "full", "same_limit", "waited")  # why a job went on without asking a model
_COUNTERS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_OF_AN_ATTEMPT = (
    *("job_id", "requested_model", "rung", "outcome", "opened_at", "latency_ms", "cost_nano_usd"),
    *(*_COUNTERS, "web_searches", "service_tier", "speed", "inference_geo"),
)


class max_tokens_of(FunctionElement[int]):  # noqa: N801 - reads as the SQL function it is
    """The max_tokens in a job's params, without reading the prompt beside it; NULL where it was purged."""

    type = Integer()
    inherit_cache = True


@compiles(max_tokens_of, "postgresql")
def _postgres_max_tokens(element: max_tokens_of, compiler: SQLCompiler, **options: Any) -> str:
    params = compiler.process(element.clauses, **options)
    # Not as jsonb, which refuses NUL. In a prompt's own text the quotes are escaped, so it cannot be found there.
    return f"CAST(SUBSTRING({params} FROM '\"max_tokens\": *([0-9]{{1,9}})[,}}]') AS INTEGER)"


@compiles(max_tokens_of, "sqlite")
def _sqlite_max_tokens(element: max_tokens_of, compiler: SQLCompiler, **options: Any) -> str:
    params = compiler.process(element.clauses, **options)
    return f"CASE WHEN JSON_VALID({params}) THEN CAST(JSON_EXTRACT({params}, '$.max_tokens') AS INTEGER) END"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which jobs: by the UTC days they ended on, both within; of one task, of one batch."""

    since: date | None = None
    until: date | None = None
    task: str | None = None
    batch_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An attempt as it was; its cost as corrected. `outcome`, `usage` and `cost_usd` are None where unknown."""

    model: str
    rung: int
    outcome: str | None
    opened_at: datetime
    latency_ms: int | None
    cost_usd: Decimal | None
    usage: Usage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A job that has ended. `passed` are rungs it left without asking, with the reason; its span counts old rungs."""

    batch_id: str | None
    task: str | None
    is_succeeded: bool
    start_model: str | None
    is_own_start: bool
    span: Span
    climbs: frozenset[str] | None
    created_at: datetime
    finished_at: datetime
    fallback_depth: int
    max_tokens: int | None
    passed: Mapping[int, str] = field(default_factory=dict)
    made: tuple[Made, ...] = ()


class Records:
    """Reads them. Raises LedgerError where the ledger is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def tallies(self, scope: Scope) -> Tallies:
        """Count every attempt opened on these days, whatever its task or batch."""
        columns = (
            Attempt.requested_model,
            Attempt.task,
            Attempt.opened_at,
            Attempt.outcome,
            Attempt.latency_ms,
            Attempt.output_tokens,
            Attempt.rung,
        )
        asked = between(_select(*columns), Attempt.opened_at, scope.since, scope.until)
        tallies = Tallies()
        with reading(self._engine) as connection:
            for model, task, at, outcome, latency, out, rung in connection.execute(_streamed(asked)):
                tallies.add(model, task, slot_of(at), outcome, latency, out)
                tallies.rungs[rung, model] += 1
            for model, at in connection.execute(_streamed(_passed(scope))):
                tallies.slots[model, slot_of(at)].passed += 1
        return tallies

    def left_out(self, scope: Scope) -> Counter[str]:
        """Count the jobs that are not replayed, by state: cancelled ones, and of all times those that are open."""
        states = _select(Job.state, func.count())
        ended = _within(states.where(Job.state == State.CANCELLED), scope)
        is_open = _of(states.where(Job.state.in_(OPEN_STATES)), scope)
        counts = Counter[str]()
        with reading(self._engine) as connection:
            for asked in (ended, is_open):
                for state, count in connection.execute(asked.group_by(Job.state)):
                    counts[state] += count
        return counts

    def jobs(self, scope: Scope) -> Iterator[Recorded]:
        """Read the jobs that succeeded or failed, in the order they ended, a thousand at a time."""
        asked = _within(_jobs(), scope).order_by(Job.finished_at, Job.id)
        with reading(self._engine) as connection:
            for some in connection.execute(_streamed(asked)).mappings().partitions():
                made = _made(connection, [row["id"] for row in some])
                yield from (_recorded(row, made.get(row["id"], ())) for row in some)


def slot_of(at: datetime) -> int:
    """Give the ten minutes that a time is in their number."""
    return int(at.timestamp()) // SLOT_S


def _select(*columns: Any) -> Select[Any]:
    return select(*columns)


def _streamed(asked: Select[Any]) -> Select[Any]:
    return asked.execution_options(yield_per=_AT_ONCE)


def _passed(scope: Scope) -> Select[Any]:
    gone_on = _select(DecisionRow.model, DecisionRow.at).where(
        DecisionRow.decision == "skip", DecisionRow.why.in_(_NOT_NOW)
    )
    return between(gone_on, DecisionRow.at, scope.since, scope.until)


def _jobs() -> Select[Any]:
    columns: tuple[Any, ...] = (
        *(Job.id, Job.batch_id, Job.task, Job.state, Job.start_model, Job.start_reason, Job.start_rung, Job.floor_rung),
        *(Job.ceiling_rung, Job.climb_on, Job.created_at, Job.finished_at, Job.fallback_depth, Job.given_up),
    )
    return select(*columns, max_tokens_of(Job.params).label("max_tokens")).where(
        Job.state.in_([State.SUCCEEDED, State.FAILED])
    )


def _within(asked: Select[Any], scope: Scope) -> Select[Any]:
    ended = asked.where(Job.finished_at.is_not(None))
    return _of(between(ended, Job.finished_at, scope.since, scope.until), scope)


def _of(asked: Select[Any], scope: Scope) -> Select[Any]:
    asked = asked if scope.task is None else asked.where(Job.task == scope.task)
    return asked if scope.batch_id is None else asked.where(Job.batch_id == scope.batch_id)


def _made(connection: Connection, job_ids: Sequence[str]) -> dict[str, tuple[Made, ...]]:
    columns = [ATTEMPTS.c[name] for name in _OF_AN_ATTEMPT]
    asked = select(*columns).where(ATTEMPTS.c.job_id.in_(job_ids)).order_by(ATTEMPTS.c.job_id, ATTEMPTS.c.attempt_no)
    rows = connection.execute(asked).mappings()
    return {job_id: tuple(map(_attempt, some)) for job_id, some in groupby(rows, key=lambda row: row["job_id"])}


def _attempt(row: RowMapping) -> Made:
    counters = {name: row[name] for name in _COUNTERS}
    usage = None
    if None not in counters.values():
        usage = Usage(
            **counters,
            web_searches=row["web_searches"] or 0,
            service_tier=row["service_tier"],
            speed=row["speed"],
            inference_geo=row["inference_geo"],
        )
    return Made(
        model=row["requested_model"],
        rung=row["rung"],
        outcome=row["outcome"],
        opened_at=row["opened_at"],
        latency_ms=row["latency_ms"],
        cost_usd=row["cost_nano_usd"],
        usage=usage,
    )


def _recorded(row: RowMapping, made: tuple[Made, ...]) -> Recorded:
    asked = {one.rung for one in made}
    return Recorded(
        batch_id=row["batch_id"],
        task=row["task"],
        is_succeeded=row["state"] == State.SUCCEEDED,
        start_model=row["start_model"],
        is_own_start=row["start_reason"] == ASKED,
        span=Span(start=row["start_rung"], floor=row["floor_rung"], ceiling=row["ceiling_rung"]),
        climbs=None if row["climb_on"] is None else frozenset(filter(None, row["climb_on"].split(","))),
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        fallback_depth=row["fallback_depth"] or 0,
        max_tokens=row["max_tokens"],
        passed={int(rung): str(why) for rung, why in (row["given_up"] or {}).items() if int(rung) not in asked},
        made=made,
    )
