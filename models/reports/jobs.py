"""All reads for people: progress, answers, a job's story, the receipt. Nothing here writes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, cast

from sqlalchemy import Connection, Engine, RowMapping, Select, bindparam, case, func, literal, select, text, type_coerce

from models.database.compiled_sql import CompiledSql
from models.database.engine import LedgerPart, reading
from models.errors import NotFoundError
from models.job.answer import Answer
from models.job.progress import CacheUse, HalfPriceUse, ModelLine, Progress
from models.job.values import batch_scope
from models.ledger.steps import blocked
from models.money.pricing import NANO_USD
from models.outcome import FINAL_STATES, Outcome, State
from models.reports.batch_counts import COST, kept_counts, live_counts
from models.schema.attempt import Attempt
from models.schema.batch import Batch
from models.schema.budget import BudgetRow
from models.schema.columns import NanoUSD, now
from models.schema.decision import DecisionRow
from models.schema.job import IS_HELD, AnswerRow, Job, TurnRow
from models.schema.message_batch import MessageBatch
from models.schema.step import PartRow
from models.schema.views import ATTEMPTS
from models.text import is_storable

_ZERO = Decimal(0)
_ATTEMPT = ATTEMPTS.c  # with the corrected cost of each attempt
_UNSUMMED = func.count().filter(_ATTEMPT.cost_nano_usd.is_(None))  # open attempts among them
_RESERVED = type_coerce(BudgetRow.reserved_nano_usd + BudgetRow.unknown_nano_usd, NanoUSD())
_CACHE = text(
    "SELECT SUM(input_tokens) AS input_tokens, SUM(read_tokens) AS read_tokens, SUM(unknown_costs) AS unknown_costs,"
    " SUM(saved_nano_usd) AS saved FROM v_cache WHERE batch_id = :batch_id"
)
_HALF_PRICE = text("SELECT * FROM v_half_price WHERE batch_id = :batch_id")
_ROWS_AT_ONCE = 500
_SETTLED_AT_ONCE = 50
_SETTLED_NAMES = [f"batch_{number}" for number in range(_SETTLED_AT_ONCE)]
_OF_ANSWER = ["prompt_id", "id", "state", "model_used", "fallback_depth", "outcome", "error", "columns", "finished_at"]
_OF_MESSAGE_BATCH = [
    getattr(MessageBatch, name)
    for name in ("id", "provider_id", "model", "size", "state", "sent_at", "switch_at", "cancelled_at", "ended_at")
]
_OF_LINE = ("model", "fallback_depth", "lane", "attempts", "answered", "not_run", "open", "unknown_costs")
_HAS_RUN = _ATTEMPT.outcome.is_distinct_from(Outcome.NOT_RUN)
_IS_WHOLE = Batch.job_count > 0  # not still being written
_WHERE_IDS_ARE = "`stepdown ls` lists the batches, `stepdown show` their jobs"


class Reports(LedgerPart):
    """Reads the ledger. An id may be any unique beginning. Raises NotFoundError and LedgerError."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._compiled = CompiledSql(engine)

    def batch_id(self, text: str) -> str:
        """Return the id of a batch, from its whole name or the beginning of its id. Only one batch may match."""
        return self._one("batch", text, select(Batch.id).where(_IS_WHOLE), called=Batch.name)

    def job_id(self, text: str) -> str:
        """Return the id of a job, from its prompt's id or the beginning of its own. Only one job may match."""
        seen = Job.batch_id.is_(None) | Job.batch_id.in_(select(Batch.id).where(_IS_WHOLE))
        return self._one("job", text, select(Job.id).where(seen), called=Job.prompt_id)

    def _one(self, kind: str, text: str, all_ids: Select[Any], *, called: Any) -> str:
        # An empty word begins every id: `stepdown cancel "$BATCH"` with no BATCH must not find the only one.
        if not text or not is_storable(text):
            raise NotFoundError(f"{text!r} is no {kind}'s name or id; {_WHERE_IDS_ARE}")
        ids, (own_id,) = all_ids.limit(2), all_ids.selected_columns
        with reading(self._engine) as connection:
            found = connection.scalars(ids.where(called == text)).all()
            found = found or connection.scalars(ids.where(own_id.startswith(text, autoescape=True))).all()
        if len(found) == 1:
            return str(found[0])
        problem = f"{'more than one' if found else 'no'} {kind} is called or begins with"
        raise NotFoundError(f"{problem} {text!r}; {_WHERE_IDS_ARE}")

    def progress(self, batch_id: str) -> Progress:
        """Count a batch's jobs by state and add up its attempts."""
        with reading(self._engine) as connection:
            batch = connection.execute(select(Batch.__table__).where(Batch.id == batch_id)).mappings().one_or_none()
            if batch is None:
                raise NotFoundError(f"no batch has the id {batch_id}")
            return self._progress(connection, batch)

    def batches(self, *, limit: int) -> list[Progress]:
        """List batches, the newest first."""
        with reading(self._engine) as connection:
            whole = select(Batch.__table__).where(_IS_WHOLE)
            rows = connection.execute(whole.order_by(Batch.id.desc()).limit(limit)).mappings().all()
            return [self._progress(connection, row) for row in rows]

    def _progress(self, connection: Connection, batch: RowMapping) -> Progress:
        cap = select(BudgetRow.cap_nano_usd, _RESERVED).where(BudgetRow.scope == batch_scope(batch["id"]))
        counts = kept_counts(connection, batch) or live_counts(connection, batch["id"])
        capped = connection.execute(cap).one_or_none()
        return Progress(
            batch_id=batch["id"],
            name=batch["name"],
            created_at=batch["created_at"],
            job_count=batch["job_count"],
            blocked=blocked(connection, batch["id"]) if counts["states"].get(State.WAITING) else 0,
            cap_usd=None if capped is None else capped[0],
            reserved_usd=_ZERO if capped is None else capped[1],
            **counts,
        )

    def answers(self, batch_id: str, *, after: int = 0) -> Iterator[Answer]:
        """Yield a batch's jobs with their answers and costs, in the order of submission, but the first `after`."""
        ours = _jobs().where(Job.batch_id == batch_id)
        while True:
            if not (rows := self._rows(ours.where(Job.seq > after).order_by(Job.seq).limit(_ROWS_AT_ONCE))):
                return
            yield from (_answer(row) for row in rows)
            after = rows[-1]["seq"]

    def settled(self, batch_ids: Sequence[str]) -> dict[str, Answer]:
        """Return the job of each single-job batch whose job has ended or waits for a person, by batch."""
        found = dict[str, Answer]()
        for start in range(0, len(batch_ids), _SETTLED_AT_ONCE):
            part = batch_ids[start : start + _SETTLED_AT_ONCE]
            names = _SETTLED_NAMES[: 1 if len(part) == 1 else None]
            padded = [*part, *[part[-1]] * (len(names) - len(part))]
            given = dict(zip(names, padded, strict=True))
            found |= {row["batch_id"]: _answer(row) for row in self._compiled.read(_settled(len(names)), given)}
        return found

    def held(self, batch_id: str | None = None) -> list[Answer]:
        """List the jobs of one batch, or of all, that wait for a person. Each has the reason as its error."""
        jobs = _jobs().where(IS_HELD).order_by(Job.id)
        jobs = jobs if batch_id is None else jobs.where(Job.batch_id == batch_id)
        return [_answer(row) for row in self._rows(jobs)]

    def now(self) -> datetime:
        """Return the time by the database's clock, which sets all due times."""
        with reading(self._engine) as connection:
            return now(connection)

    def job(self, job_id: str) -> dict[str, Any]:
        """Read one job's row, by column."""
        with reading(self._engine) as connection:
            return dict(**connection.execute(select(Job.__table__).where(Job.id == job_id)).mappings().one())

    def attempts(self, job_id: str) -> list[dict[str, Any]]:
        """Return one job's attempts, the first one first. Cost, status and price are the corrected ones."""
        after_all = select(_ATTEMPT.cost_nano_usd, _ATTEMPT.cost_status, _ATTEMPT.price_source)
        ours = select(Attempt.__table__).where(Attempt.job_id == job_id).order_by(Attempt.attempt_no)
        with reading(self._engine) as connection:
            rows = [dict(**row) for row in connection.execute(ours).mappings()]
            for row in rows:
                row |= dict(**connection.execute(after_all.where(_ATTEMPT.attempt_id == row["id"])).mappings().one())
        return rows

    def decisions(self, job_id: str) -> list[dict[str, Any]]:
        """Return the decisions about one job, walk by walk."""
        ours = select(DecisionRow.__table__).where(DecisionRow.job_id == job_id)
        return [dict(**row) for row in self._rows(ours.order_by(DecisionRow.lease_token, DecisionRow.number))]

    def parts(self, job_id: str) -> list[dict[str, Any]]:
        """Return the jobs whose answers one job is made of, in the order of reading, with their ends."""
        theirs = select(Job.prompt_id, Job.state, Job.finished_at).join(PartRow, PartRow.part_id == Job.id)
        return [dict(**row) for row in self._rows(theirs.where(PartRow.job_id == job_id).order_by(PartRow.position))]

    def message_batches(self, job_id: str) -> list[dict[str, Any]]:
        """Return the message batches that one job's attempts were in, in the order of their making."""
        own = select(Attempt.message_batch_id).where(Attempt.job_id == job_id)
        ours = select(*_OF_MESSAGE_BATCH).where(MessageBatch.id.in_(own)).order_by(MessageBatch.made_at)
        return [dict(**row) for row in self._rows(ours)]

    def batch(self, batch_id: str) -> dict[str, Any]:
        """Read one batch's row, by column."""
        with reading(self._engine) as connection:
            return dict(**connection.execute(select(Batch.__table__).where(Batch.id == batch_id)).mappings().one())

    def models(self, batch_id: str | None = None) -> list[ModelLine]:
        """Add up attempts by model, depth and lane, of one batch or of the whole ledger."""
        with reading(self._engine) as connection:
            rows = connection.execute(_by_model(batch_id)).mappings().all()
            return [_model_line(connection, row, batch_id) for row in rows]

    def cache(self, batch_id: str) -> CacheUse | None:
        """Return a batch's use of the provider's cache. Returns None if no token was written to the cache or read."""
        with reading(self._engine) as connection:
            row = connection.execute(_CACHE, {"batch_id": batch_id}).mappings().one()
        if row["input_tokens"] is None:
            return None
        counts = {name: int(row[name]) for name in ("input_tokens", "read_tokens", "unknown_costs")}
        return CacheUse(**counts, saved_usd=int(row["saved"]) * NANO_USD)

    def half_price(self, batch_id: str) -> HalfPriceUse | None:
        """Return a batch's use of message batches. Returns None before the first attempt of a half-price job."""
        with reading(self._engine) as connection:
            row = connection.execute(_HALF_PRICE, {"batch_id": batch_id}).mappings().one_or_none()
        if row is None:
            return None
        known = {field.name: row[field.name] for field in fields(HalfPriceUse) if not field.name.endswith("_usd")}
        cost, saved, overlapped = (int(row[f"{name}_nano_usd"]) * NANO_USD for name in ("cost", "saved", "overlapped"))
        return HalfPriceUse(**known, cost_usd=cost, saved_usd=saved, overlapped_usd=overlapped)

    def depths(self, batch_id: str | None = None) -> dict[int, int]:
        """Count the succeeded jobs by fallback depth."""
        counts = select(Job.fallback_depth, func.count()).where(Job.state == State.SUCCEEDED)
        counts = counts if batch_id is None else counts.where(Job.batch_id == batch_id)
        with reading(self._engine) as connection:
            rows = connection.execute(counts.group_by(Job.fallback_depth).order_by(Job.fallback_depth))
            return {depth or 0: count for depth, count in rows}

    def first_and_last_end(self) -> tuple[datetime, datetime] | None:
        """Return the times when the first and the last job of the ledger ended. Returns None before that."""
        with reading(self._engine) as connection:
            first, last = connection.execute(select(func.min(Job.finished_at), func.max(Job.finished_at))).one()
        return None if first is None or last is None else (first, last)


@cache
def _settled(count: int) -> Select[Any]:
    """Return the statement that reads the ended jobs of so many batches, compiled once for all answers."""
    settled = Job.state.in_([literal(state) for state in FINAL_STATES]) | IS_HELD
    given: list[Any] = [bindparam(name) for name in _SETTLED_NAMES[:count]]
    return _jobs(Job.batch_id, *(getattr(Job, name) for name in _OF_ANSWER)).where(Job.batch_id.in_(given), settled)


def _jobs(*columns: Any) -> Select[Any]:
    """Return the statement that reads jobs with their answers: these columns of a job, or all."""
    cost = (
        select(case((_UNSUMMED > 0, None), else_=func.coalesce(COST, 0, type_=COST.type)))
        .where(_ATTEMPT.job_id == Job.id)
        .correlate(Job)
        .scalar_subquery()
        .label("cost_usd")
    )
    answered = AnswerRow.job_id == Job.id
    declined = (TurnRow.job_id == Job.id) & (Job.state == State.FAILED)
    both = select(*(columns or [Job.__table__]), AnswerRow.message, TurnRow.message.label("declined"), cost)
    return both.join(AnswerRow, answered, isouter=True).join(TurnRow, declined, isouter=True)


def _answer(row: Mapping[Any, Any]) -> Answer:
    return Answer(
        id=row["prompt_id"],
        job_id=row["id"],
        state=State(row["state"]),
        message=row["message"],
        model=row["model_used"],
        fallback_depth=row["fallback_depth"],
        cost_usd=row["cost_usd"],
        outcome=row["outcome"],
        error=row["error"],
        columns=row["columns"],
        finished_at=row["finished_at"],
        declined=row["declined"],
    )


def _by_model(batch_id: str | None) -> Select[Any]:
    answered = func.count().filter(_ATTEMPT.outcome.in_([Outcome.ANSWERED, Outcome.TRUNCATED]))
    lines = (
        select(
            _ATTEMPT.requested_model.label("model"),
            _ATTEMPT.fallback_depth,
            _ATTEMPT.lane,
            func.min(_ATTEMPT.rung).label("rung"),
            func.count().label("attempts"),
            answered.label("answered"),
            func.count().filter(~_HAS_RUN).label("not_run"),
            func.count(_ATTEMPT.latency_ms).filter(_HAS_RUN).label("timed"),
            COST.label("cost"),
            _UNSUMMED.label("unknown_costs"),
            func.count().filter(_ATTEMPT.closed_at.is_(None)).label("open"),
        )
        .group_by(_ATTEMPT.requested_model, _ATTEMPT.fallback_depth, _ATTEMPT.lane)
        .order_by("rung", _ATTEMPT.fallback_depth, _ATTEMPT.lane)
    )
    ours = lines if batch_id is None else lines.where(_ATTEMPT.batch_id == batch_id)
    return cast("Select[Any]", ours)


def _model_line(connection: Connection, row: RowMapping, batch_id: str | None) -> ModelLine:
    # Half the ended attempts are as quick. SQLite has no percentile function, so the query reads the middle row.
    middle = (
        select(_ATTEMPT.latency_ms)
        .where(_ATTEMPT.fallback_depth == row["fallback_depth"], _ATTEMPT.lane == row["lane"])
        .where(_ATTEMPT.requested_model == row["model"], _HAS_RUN, _ATTEMPT.latency_ms.is_not(None))
        .order_by(_ATTEMPT.latency_ms)
        .offset(max(row["timed"] - 1, 0) // 2)
        .limit(1)
    )
    middle = middle if batch_id is None else middle.where(_ATTEMPT.batch_id == batch_id)
    same = {name: row[name] for name in _OF_LINE}
    return ModelLine(**same, p50_ms=connection.scalar(middle), cost_usd=row["cost"] or _ZERO)
