"""The provider's charges according to the ledger, by UTC day, model and kind of token, with every uncertain sum."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Text,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.orm import aliased

from models.database.engine import database_url, opened_if_there, reading
from models.errors import LedgerError
from models.money.pricing import NANO_USD, Parts, Prices, parts_usd
from models.money.usage import Pass, Usage, passes, usage_kept
from models.outcome import CostStatus
from models.rung_name import DEFAULT_ENDPOINT
from models.schema.attempt import Attempt
from models.schema.correction import Correction

KINDS = tuple(part.name for part in fields(Parts))
_COUNTERS = {kind: "web_searches" if kind == "web_search" else f"{kind}_tokens" for kind in KINDS}
_USED = (Attempt.usage, Attempt.cache_write_1h_tokens, Attempt.web_searches)
_HAS_WHOLE_USAGE = and_(Attempt.usage.is_not(None), Attempt.cost_status.not_in((CostStatus.FREE, CostStatus.AT_LEAST)))
_ZERO = Decimal(0)
_DAY = timedelta(days=1)
STANDARD, _BATCH = "standard", "batch"  # service tiers


_Place: TypeAlias = tuple[str, str]  # a model and a service tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsure:
    """Attempts that may be billed for more than is written: their number, and the most they cost in USD.

    `unbounded` of the attempts have no such bound, and are not in `most_usd`.
    """

    attempts: int = 0
    most_usd: Decimal = _ZERO
    unbounded: int = 0


@dataclass(slots=True, kw_only=True)
class Bill:
    """One UTC day of a model at a service tier, by the day its attempts were opened. Counts and USD are by kind.

    `unsplit_usd` are costs without parts, in no kind. `unpriced` attempts have tokens and no cost. `late` is the part
    of the sums that still ran at midnight. The provider may count that part on the next day. The last attempt ended at
    `last_at`. Each kind's USD is a sum of `rounded` amounts, each within a nano-dollar of the exact one.
    """

    day: date
    model: str
    tier: str = STANDARD
    attempts: int = 0
    rounded: int = 0
    last_at: datetime | None = None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    usd: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(KINDS, _ZERO))
    unsplit_usd: Decimal = _ZERO
    unpriced: int = 0
    unknown: Unsure = field(default_factory=Unsure)
    open: Unsure = field(default_factory=Unsure)
    late_attempts: int = 0
    late_counts: Mapping[str, int] = field(default_factory=dict)
    late_usd: Mapping[str, Decimal] = field(default_factory=dict)


def read_bills(url: str, since: date, until: date, prices: Prices) -> list[Bill]:
    """Add up the attempts opened from `since` to `until`, both included, corrections counted.

    `prices` split an answer in which other models had a part. Raises LedgerError.
    """
    days = [since + number * _DAY for number in range((until - since).days + 1)]
    with opened_if_there(url) as engine:
        if engine is None:
            there = database_url(url).database
            raise LedgerError(f"ledger {there} is not there: is DATABASE_URL right, and this folder?")
        with reading(engine) as connection:
            return [bill for day in days for bill in _of_day(connection, day, prices)]


def _of_day(connection: Connection, day: date, prices: Prices) -> list[Bill]:
    start = datetime.combine(day, time(), UTC)
    is_there = Attempt.endpoint == DEFAULT_ENDPOINT  # other endpoints send bills of their own
    ours = and_(is_there, Attempt.opened_at >= start, Attempt.opened_at < start + _DAY)
    if connection.scalar(select(Attempt.id).where(ours).limit(1)) is None:
        return []
    late_ones = and_(ours, Attempt.closed_at >= start + _DAY)
    bills, late = _bills(connection, day, ours, prices), _bills(connection, day, late_ones, prices)
    unknown = _unsure(connection, and_(ours, Attempt.closed_at.is_not(None)))
    still_open = _unsure(connection, and_(ours, Attempt.closed_at.is_(None)))
    for place in {*bills, *unknown, *still_open}:
        bill, at_midnight = bills[place], late[place]
        bill.unknown, bill.open = unknown.get(place, Unsure()), still_open.get(place, Unsure())
        bill.late_attempts, bill.late_counts, bill.late_usd = at_midnight.attempts, at_midnight.counts, at_midnight.usd
    return [bills[place] for place in sorted(bills)]


class _Bills(dict[_Place, Bill]):
    """The bills of one day by model and tier. The bill of a place without attempts is empty."""

    def __init__(self, day: date) -> None:
        super().__init__()
        self._day = day

    def __missing__(self, place: _Place) -> Bill:
        self[place] = Bill(day=self._day, model=place[0], tier=place[1])
        return self[place]


def _bills(connection: Connection, day: date, where: ColumnElement[bool], prices: Prices) -> _Bills:
    bills = _Bills(day)
    for row in connection.execute(_charged(where)).mappings():
        bill = bills[row["model"], row["tier"]]
        bill.attempts = bill.rounded = row["attempts"]
        bill.unpriced, bill.last_at = row["unpriced"], row["last_at"]
        bill.counts = {kind: row[f"{kind}_count"] or 0 for kind in KINDS}
        bill.usd = {kind: row[f"{kind}_usd"] or _ZERO for kind in KINDS}
        bill.unsplit_usd = (row["cost"] or _ZERO) - sum(bill.usd.values(), _ZERO)
    _move_passes(connection, where, bills, prices)
    return bills


def _charged(where: ColumnElement[bool]) -> Select[Any]:
    """Select sums by model and tier of the attempts that have tokens and are not free. The last correction counts."""
    last, model, tier = aliased(Correction), _model(), _tier()
    cost = func.coalesce(last.cost_nano_usd, Attempt.cost_nano_usd)
    columns: list[Any] = [model.label("model"), tier.label("tier"), func.count().label("attempts")]
    columns += [func.count().filter(cost.is_(None)).label("unpriced"), _total(cost).label("cost")]
    columns.append(func.max(Attempt.closed_at).label("last_at"))
    for kind in KINDS:
        own, corrected = getattr(Attempt, f"{kind}_nano_usd"), getattr(last, f"{kind}_nano_usd")
        columns.append(func.sum(getattr(Attempt, _COUNTERS[kind])).label(f"{kind}_count"))
        part = case((last.id.is_not(None), corrected), else_=own)
        columns.append(_total(part).label(f"{kind}_usd"))
    return (
        select(*columns)
        .select_from(Attempt)
        .join(last, _is_last(last), isouter=True)
        .where(where, _HAS_WHOLE_USAGE)
        .group_by(model, tier)
    )


def _unsure(connection: Connection, where: ColumnElement[bool]) -> dict[_Place, Unsure]:
    """Count the attempts that have neither a cost nor all of their tokens: nobody knows the bill."""
    last = aliased(Correction)
    no_usage = or_(Attempt.usage.is_(None), Attempt.cost_status == CostStatus.AT_LEAST)
    counts = (
        select(
            Attempt.requested_model,
            _tier(),
            func.count(),
            _total(Attempt.reserved_nano_usd),
            func.count().filter(Attempt.reserved_nano_usd.is_(None)),
        )
        .select_from(Attempt)
        .join(last, _is_last(last), isouter=True)
        .where(where, no_usage, func.coalesce(last.cost_nano_usd, Attempt.cost_nano_usd).is_(None))
        .group_by(Attempt.requested_model, _tier())
    )
    return {
        (model, tier): Unsure(attempts=attempts, most_usd=most or _ZERO, unbounded=unbounded)
        for model, tier, attempts, most, unbounded in connection.execute(counts)
    }


def _move_passes(connection: Connection, where: ColumnElement[bool], bills: _Bills, prices: Prices) -> None:
    """Move the tokens of other models inside an answer to those models: the provider's report lists them there."""
    has_passes = type_coerce(Attempt.usage, Text).contains('"iterations":[{', autoescape=True)
    columns = (_model().label("model"), _tier().label("tier"), Attempt.opened_at, Attempt.cost_status, *_USED)
    rows = select(*columns).where(where, has_passes, _HAS_WHOLE_USAGE)
    for row in connection.execute(rows).mappings().all():
        usage = usage_kept(dict(**row))
        for each in passes(usage) if usage is not None else ():
            if usage is not None and each.model not in {None, row["model"]}:
                _move(each, usage, bills, row, prices)


def _move(one: Pass, whole: Usage, bills: _Bills, row: RowMapping, prices: Prices) -> None:
    price = prices.price(str(one.model), at=row["opened_at"], **whole.tier)
    usd = None if price is None else parts_usd(one.usage, price)
    left, right = bills[row["model"], row["tier"]], bills[str(one.model), row["tier"]]
    left.rounded += 1
    right.rounded += 1
    for kind in KINDS:
        count = getattr(one.usage, _COUNTERS[kind])
        part = _ZERO if usd is None else getattr(usd, kind).quantize(NANO_USD, rounding=ROUND_HALF_EVEN)
        left.counts[kind] -= count
        left.usd[kind] -= part
        right.counts[kind] += count
        right.usd[kind] += part


def _model() -> ColumnElement[str]:
    return func.coalesce(Attempt.served_model, Attempt.requested_model)


def _tier() -> ColumnElement[str]:
    lane = case(
        (Attempt.message_batch_id.is_not(None), literal_column(f"'{_BATCH}'")), else_=literal_column(f"'{STANDARD}'")
    )
    return func.coalesce(Attempt.service_tier, lane)


def _is_last(correction: Any) -> ColumnElement[bool]:
    numbers = aliased(Correction)
    newest = select(func.max(numbers.number)).where(numbers.attempt_id == Attempt.id).correlate(Attempt)
    return and_(correction.attempt_id == Attempt.id, correction.number == newest.scalar_subquery())


def _total(money: Any) -> Any:
    return func.sum(money, type_=Attempt.cost_nano_usd.type)
