"""Sums of money by day, endpoint, model, task, batch, outcome, depth, lane or tag; and rows to be exported."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    Label,
    RowMapping,
    Select,
    func,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from models.accounting.exports import CREDITS_PER_USD, Export, between
from models.database.engine import LedgerPart, reading, transaction
from models.money.usage import COUNTERS
from models.outcome import Outcome
from models.schema.batch import Batch, in_scope
from models.schema.views import ATTEMPTS, COSTS

TAG = "tag."
_ROWS_AT_ONCE = 2_000
_ROLLED_UP = frozenset({"day", "month", "endpoint", "model", "task", "lane"})
_COUNTS = ("attempts", "answered", "failed", "open", "unknown_costs")


class utc_day(FunctionElement[date]):  # noqa: N801 - reads as the SQL function it is
    """The UTC day of a time, as the views count days."""

    type = Date()
    inherit_cache = True


@compiles(utc_day, "postgresql")
def _postgres_day(element: utc_day, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC')::date"


@compiles(utc_day, "sqlite")
def _sqlite_day(element: utc_day, compiler: SQLCompiler, **options: Any) -> str:
    return f"SUBSTR({compiler.process(element.clauses, **options)}, 1, 10)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """The sums of a group of attempts. The four kinds of input are disjoint. `cost_usd` sums the known costs.

    `unknown_costs` counts the attempts that `cost_usd` leaves out, open attempts among them.
    """

    attempts: int = 0
    answered: int = 0
    failed: int = 0
    open: int = 0
    unknown_costs: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    web_searches: int = 0
    cost_usd: Decimal = Decimal(0)

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(**{part.name: getattr(self, part.name) + getattr(other, part.name) for part in fields(self)})

    @property
    def tokens_in(self) -> int:
        """All tokens that were sent, cached or not."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def credits(self) -> Decimal:
        """The cost in credits of $0.01, never rounded."""
        return self.cost_usd * CREDITS_PER_USD


class Spending(LedgerPart):
    """Reads sums from the views. Days are UTC, by the opening of an attempt; `since` and `until` are both within."""

    def sums(
        self,
        keys: Sequence[str],
        *,
        since: date | None = None,
        until: date | None = None,
        scope: str | None = None,
    ) -> dict[tuple[Any, ...], Sum]:
        """Add attempts up by one or more of: day, month, endpoint, model, task, batch, outcome, depth, lane, tag.NAME.

        Attempts without a task, batch or tag are under None. Keys of `attempts_daily` come from there.
        `scope` is the beginning of the keys of the batches in question.
        """
        sums: dict[tuple[Any, ...], Sum] = {}
        is_rolled_up = scope is None and _ROLLED_UP.issuperset(keys)
        asked = (_daily if is_rolled_up else _by_attempt)(keys, since, until)
        if scope is not None:
            asked = asked.where(ATTEMPTS.c.batch_id.in_(select(Batch.id).where(in_scope(scope))))
        with reading(self._engine) as connection:
            tags = _tags(connection) if any(key.startswith(TAG) for key in keys) else {}
            names = _names(connection) if "batch" in keys else {}
            for row in connection.execute(asked).mappings():
                labels = tuple(_label(key, row, names, tags) for key in keys)
                sums[labels] = sums.get(labels, Sum()) + _sum(row)
        return sums

    def rows(self, export: Export, *, since: date | None = None, until: date | None = None) -> Iterator[Sequence[Any]]:
        """Read an export's rows, a few thousand at a time, in the order of its fields."""
        with transaction(self._engine) as connection:  # a cursor of Postgres lives in a transaction
            asked = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(export.asked(since, until))
            yield from asked


def _daily(keys: Sequence[str], since: date | None, until: date | None) -> Select[Any]:
    days = COSTS.c
    by = [days[name] for name in dict.fromkeys("day" if key == "month" else key for key in keys)]
    counts = [func.sum(days[name]).label(name) for name in (*_COUNTS, *COUNTERS)]
    asked = select(*by, *counts, _total(days)).group_by(*by)
    asked = asked if since is None else asked.where(days.day >= since)
    return asked if until is None else asked.where(days.day <= until)


def _by_attempt(keys: Sequence[str], since: date | None, until: date | None) -> Select[Any]:
    attempts = ATTEMPTS.c
    day = utc_day(attempts.opened_at).label("day")
    columns = {
        "day": day,
        "month": day,
        "endpoint": attempts.endpoint,
        "model": attempts.model,
        "task": attempts.task,
        "outcome": attempts.outcome,
        "depth": attempts.fallback_depth,
        "lane": attempts.lane,
    }
    by = {found.name: found for found in (columns.get(key, attempts.batch_id) for key in keys)}
    counts = [count.label(name) for name, count in _counts().items()]
    counts += [func.sum(attempts[name]).label(name) for name in COUNTERS]
    asked = select(*by.values(), *counts, _total(attempts)).group_by(*by.values())
    return between(asked, attempts.opened_at, since, until)


def _counts() -> dict[str, ColumnElement[int]]:
    attempts = ATTEMPTS.c
    is_closed = attempts.closed_at.is_not(None)
    has_answer = attempts.outcome.in_([Outcome.ANSWERED, Outcome.TRUNCATED])
    return {
        "attempts": func.count(),
        "answered": func.count().filter(is_closed, has_answer),
        "failed": func.count().filter(is_closed, ~has_answer),
        "open": func.count().filter(~is_closed),
        "unknown_costs": func.count().filter(attempts.cost_nano_usd.is_(None)),
    }


def _total(columns: Any) -> Label[Any]:
    cost = columns["cost_nano_usd"]
    return func.sum(cost, type_=cost.type).label("cost_usd")


def _sum(row: RowMapping) -> Sum:
    counts = {name: int(row[name] or 0) for name in (*_COUNTS, *COUNTERS)}
    return Sum(**counts, cost_usd=row["cost_usd"] or Decimal(0))


def _label(key: str, row: RowMapping, names: Mapping[str, str], tags: Mapping[str, Mapping[str, str]]) -> Any:
    if key.startswith(TAG):
        return tags.get(row["batch_id"], {}).get(key.removeprefix(TAG))
    if key == "batch":
        return names.get(row["batch_id"], row["batch_id"])
    if key in {"day", "month"}:
        return row["day"].isoformat()[: len("2026-11" if key == "month" else "2026-11-24")]
    label = row["fallback_depth" if key == "depth" else key]
    return "open" if key == "outcome" and label is None else None if label == "" else label


def _names(connection: Connection) -> dict[str, str]:
    """Return the label of each batch that has a name, by id: the id and the name."""
    named = select(Batch.id, Batch.name).where(Batch.name.is_not(None))
    return {batch_id: f"{batch_id} {name}" for batch_id, name in connection.execute(named)}


def _tags(connection: Connection) -> dict[str, dict[str, str]]:
    return {batch_id: tags for batch_id, tags in connection.execute(select(Batch.id, Batch.tags)) if tags}
