"""Prices past attempts anew by the price book of their own day, and records each change of a cost."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from models.database.engine import LedgerPart, transaction
from models.ids import new_id
from models.ledger.batch_counts import add
from models.money.pricing import Priced, Prices, priced
from models.money.usage import usage_kept
from models.outcome import CostStatus
from models.schema.attempt import Attempt, parts_row
from models.schema.columns import db_now
from models.schema.correction import Correction
from models.schema.daily_cost import MARK_STALE

_AT_ONCE = 300
_TRIES = 20
_ZERO = Decimal(0)
_NOW = db_now(0.0)
_HAS_COST = select(Correction.id).where(Correction.attempt_id == Attempt.id).exists()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The attempts in question: opened from `since` on and before `before`, UTC; answered by `model`, or by any."""

    since: datetime
    before: datetime | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repriced:
    """One attempt: its cost before, by its last correction, and its cost now, in USD. A cost is None if unknown.

    `change` is None if nothing is to be written.
    """

    attempt_id: str
    model: str
    day: date
    was_usd: Decimal | None
    change: Priced | None

    @property
    def cost_usd(self) -> Decimal | None:
        """The corrected cost."""
        return self.was_usd if self.change is None else self.change.parts.total


class Repricing(LedgerPart):
    """Adds corrections to the ledger. Attempts stay as they are. Raises LedgerError if the ledger is away."""

    def run(self, scope: Scope, prices: Prices, *, is_dry: bool = False) -> Iterator[Sequence[Repriced]]:
        """Price every ended attempt that has a usage. Yields the attempts in steps, each of which is committed.

        A free attempt stays free. The cost stays as before if there is no price or the usage cannot be read.
        The run may be interrupted, and run twice at once: a cost that is right already is not written again.
        """
        after: tuple[datetime, str] | None = None
        while True:
            step, after = self._step(scope, after, prices, is_dry=is_dry)
            if step:
                yield step
            if after is None:
                return

    def without_usage(self, scope: Scope) -> int:
        """Count the attempts that no price book can price: nobody knows their whole usage, or they are open."""
        no_usage = or_(Attempt.usage.is_(None), Attempt.cost_status == CostStatus.AT_LEAST)
        unknown = [Attempt.cost_nano_usd.is_(None), no_usage, ~_HAS_COST]
        count = select(func.count()).select_from(Attempt).where(*_within(scope), *unknown)
        with transaction(self._engine) as connection:
            return connection.scalar(count) or 0

    def _step(
        self, scope: Scope, after: tuple[datetime, str] | None, prices: Prices, *, is_dry: bool
    ) -> tuple[list[Repriced], tuple[datetime, str] | None]:
        for _ in range(_TRIES):
            with suppress(IntegrityError):  # another repricing was here first: its corrections are read now
                return self._try(scope, after, prices, is_dry=is_dry)
        return self._try(scope, after, prices, is_dry=is_dry)

    def _try(
        self, scope: Scope, after: tuple[datetime, str] | None, prices: Prices, *, is_dry: bool
    ) -> tuple[list[Repriced], tuple[datetime, str] | None]:
        with transaction(self._engine) as connection:
            rows = connection.execute(_page(scope, after)).mappings().all()
            known = _known(connection, [row["id"] for row in rows])
            step = [_repriced(dict(**row), known.get(row["id"]), prices) for row in rows]
            if not is_dry:
                _write(connection, step, known)
                _count(connection, step, {row["id"]: row["batch_id"] for row in rows})
        return step, (rows[-1]["opened_at"], rows[-1]["id"]) if len(rows) == _AT_ONCE else None


def _within(scope: Scope) -> list[ColumnElement[bool]]:
    conditions = [Attempt.opened_at >= scope.since]
    if scope.before is not None:
        conditions.append(Attempt.opened_at < scope.before)
    if scope.model is not None:
        conditions.append(func.coalesce(Attempt.served_model, Attempt.requested_model) == scope.model)
    return conditions


def _page(scope: Scope, after: tuple[datetime, str] | None) -> Any:
    columns = (
        Attempt.id,
        Attempt.batch_id,
        Attempt.opened_at,
        Attempt.served_model,
        Attempt.requested_model,
        Attempt.usage,
        Attempt.cache_write_1h_tokens,
        Attempt.web_searches,
        Attempt.cost_nano_usd,
    )
    # An HTTP error or a refusal without output is free, whatever its usage counts. A broken stream shows a part only.
    is_billed = [
        Attempt.closed_at.is_not(None),
        Attempt.usage.is_not(None),
        Attempt.cost_status.not_in((CostStatus.FREE, CostStatus.AT_LEAST)),
    ]
    page = select(*columns).where(*_within(scope), *is_billed).order_by(Attempt.opened_at, Attempt.id).limit(_AT_ONCE)
    if after is None:
        return page
    at, last = after
    is_later = or_(Attempt.opened_at > at, (Attempt.opened_at == at) & (Attempt.id > last))
    return page.where(Attempt.opened_at >= at, is_later)


def _known(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[int, Decimal]]:
    """Return the number and the cost of each attempt's last correction, by attempt."""
    corrections = select(Correction.attempt_id, Correction.number, Correction.cost_nano_usd)
    rows = connection.execute(corrections.where(Correction.attempt_id.in_(ids)).order_by(Correction.number))
    return {attempt_id: (number, cost) for attempt_id, number, cost in rows}


def _repriced(row: Mapping[str, Any], correction: tuple[int, Decimal] | None, prices: Prices) -> Repriced:
    was = row["cost_nano_usd"] if correction is None else correction[1]
    usage = usage_kept(row)
    model = row["served_model"] or row["requested_model"]
    cost = None if usage is None else priced(usage, model, prices, at=row["opened_at"])
    is_change = cost is not None and cost.parts.total != was
    return Repriced(
        attempt_id=row["id"],
        model=model,
        day=row["opened_at"].date(),
        was_usd=was,
        change=cost if is_change else None,
    )


def _count(connection: Connection, step: Sequence[Repriced], batches: Mapping[str, str | None]) -> None:
    """Change the counts of the batches, in one order, so that no two repricings wait for each other."""
    changed = [(batches[one.attempt_id] or "", one, one.change) for one in step if one.change is not None]
    for batch_id, of_batch in groupby(sorted(changed, key=itemgetter(0)), key=itemgetter(0)):
        costs = [(one.was_usd, change.parts.total) for _, one, change in of_batch]
        unknown = sum(was is None for was, _ in costs)
        more = sum((now - (was or _ZERO) for was, now in costs), _ZERO)
        add(connection, batch_id or None, unknown_costs=-unknown, cost_nano_usd=more)


def _write(connection: Connection, step: Sequence[Repriced], known: Mapping[str, tuple[int, Decimal]]) -> None:
    changed = [(one, one.change) for one in step if one.change is not None]
    rows = [
        {
            "id": new_id(),
            "attempt_id": one.attempt_id,
            "number": known[one.attempt_id][0] + 1 if one.attempt_id in known else 1,
            "was_nano_usd": one.was_usd,
            "cost_nano_usd": change.parts.total,
            "price_source": change.source,
            **parts_row(change.parts),
        }
        for one, change in changed
    ]
    if rows:
        connection.execute(insert(Correction).values(made_at=_NOW), rows)
    for day in sorted({one.day for one, _ in changed}):  # in one order, so that no two repricings wait for each other
        connection.execute(MARK_STALE, {"of_day": day})
