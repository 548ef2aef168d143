"""Budgets, from within the transactions that open and close attempts: reserve before, settle after.

A transaction locks its job, then the attempt, then budgets in the order of scopes: no locks ever cross.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, func, select, type_coerce, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import UpdateBase

from models.database.compiled_sql import Cursor
from models.job.values import Cap, Opening, OverCap, is_for_good
from models.schema.budget import BudgetRow
from models.schema.columns import NanoUSD, db_now

_Execute = Callable[[UpdateBase, dict[str, Any]], object]
_ZERO = Decimal(0)
_MONEY = NanoUSD()
_THIS = (BudgetRow.scope == bindparam("of_scope")) & (BudgetRow.day == bindparam("of_day"))
_CAP = func.coalesce(bindparam("cap", type_=_MONEY), BudgetRow.cap_nano_usd, type_=_MONEY)
_NEEDS = bindparam("needs", type_=_MONEY)
_GONE = BudgetRow.spent_nano_usd + BudgetRow.unknown_nano_usd
_RESERVE = (
    update(BudgetRow)
    .where(_THIS, _GONE + BudgetRow.reserved_nano_usd + _NEEDS <= _CAP)
    .values(cap_nano_usd=_CAP, reserved_nano_usd=BudgetRow.reserved_nano_usd + _NEEDS)
)
# SQLAlchemy takes a sum of money for a plain integer: the type must be named again.
_LOOK = select(
    _CAP.label("cap"), type_coerce(_GONE, _MONEY).label("gone"), BudgetRow.reserved_nano_usd.label("reserved")
).where(_THIS)
_CLOCK = select(db_now(0.0).label("now"))
# All workers write this row on a day's first call: the second waits for the first, and adds nothing.
_ADD = (
    insert(BudgetRow)  # Postgres's, which SQLite reads as well
    .values(
        scope=bindparam("of_scope"),
        day=bindparam("of_day"),
        cap_nano_usd=bindparam("cap", type_=_MONEY),
        spent_nano_usd=_ZERO,
        unknown_nano_usd=_ZERO,
        reserved_nano_usd=_ZERO,
    )
    .on_conflict_do_nothing()
)
_SETTLE = (
    update(BudgetRow)
    .where(_THIS)
    .values(
        spent_nano_usd=BudgetRow.spent_nano_usd + bindparam("spent", type_=_MONEY),
        unknown_nano_usd=BudgetRow.unknown_nano_usd + bindparam("unknown", type_=_MONEY),
        reserved_nano_usd=BudgetRow.reserved_nano_usd + bindparam("reserved", type_=_MONEY),
    )
)


def reserve(cursor: Cursor, opening: Opening, *, opened_at: datetime) -> OverCap | None:
    """Hold the opening's worst case back under each of its caps. Returns the first cap that has no room.

    After such a return the caller must undo the transaction.
    """
    if opening.caps and opening.worst_case_usd is None:
        raise ValueError("a call that nothing bounds cannot be opened under a cap")
    for cap in opening.caps:
        given = {"of_scope": cap.scope, "of_day": _day(cap.scope, opened_at), "cap": cap.cap_usd}
        held = given | {"needs": opening.worst_case_usd}
        if cursor.count(_RESERVE, held):
            continue
        # The first call of a day or tree makes its row; another call may have made the row in between.
        if cap.cap_usd is not None:
            cursor.count(_ADD, given)
            if cursor.count(_RESERVE, held):
                continue
        found = cursor.first(_LOOK, given)
        if found is None:
            raise LookupError(f"{cap.scope} has no budget")
        return _over(cap, found, opening)
    return None


def reserve_or_leave(cursor: Cursor, opening: Opening, *, opened_at: datetime) -> OverCap | None:
    """Reserve as `reserve` does. Nothing stays reserved if a cap has no room: the transaction goes on."""
    over = reserve(cursor, opening, opened_at=opened_at)
    if over is not None:
        needs = opening.worst_case_usd or _ZERO
        for cap in opening.caps[: opening.caps.index(over.cap)]:
            given = {"of_scope": cap.scope, "of_day": _day(cap.scope, opened_at)}
            cursor.count(_SETTLE, given | {"spent": _ZERO, "unknown": _ZERO, "reserved": -needs})
    return over


def over_cap(cursor: Cursor, opening: Opening) -> OverCap | None:
    """Return the first cap that has no room for the opening's worst case, even without the calls in flight."""
    clock = cursor.first(_CLOCK, {}) or {}
    for cap in opening.caps:
        given = {"of_scope": cap.scope, "of_day": _day(cap.scope, clock["now"]), "cap": cap.cap_usd}
        nothing_yet = {"cap": cap.cap_usd, "gone": _ZERO, "reserved": _ZERO}
        over = _over(cap, cursor.first(_LOOK, given) or nothing_yet, opening)
        if not over.may_fit_later:
            return over
    return None


def settle(do: _Execute, row: Mapping[str, Any], cost_usd: Decimal | None, *, least_usd: Decimal | None = None) -> None:
    """Turn the reservation of an attempt's row into its cost. While the cost is None, the worst case counts.

    A cost above the worst case counts whole, and so does a least cost. The row names the budgets and the amount that is
    reserved in each. `unknown_at` is set if the end was given up before.
    """
    if not row["budgets"]:
        return
    reserved = row["reserved_nano_usd"]
    was_unknown = row["unknown_at"] is not None
    is_unknown = cost_usd is None
    change = {
        "spent": cost_usd or _ZERO,
        "unknown": max(reserved, least_usd or _ZERO) * is_unknown - reserved * was_unknown,
        "reserved": _ZERO if was_unknown else -reserved,
    }
    for scope in row["budgets"]:
        do(_SETTLE, {"of_scope": scope, "of_day": _day(scope, row["opened_at"]), **change})


def _over(cap: Cap, found: Mapping[str, Any], opening: Opening) -> OverCap:
    return OverCap(
        cap=cap,
        cap_usd=found["cap"],
        gone_usd=found["gone"],
        reserved_usd=found["reserved"],
        needs_usd=opening.worst_case_usd or _ZERO,
    )


def _day(scope: str, opened_at: datetime) -> str:
    return "" if is_for_good(scope) else opened_at.date().isoformat()
