"""The ledger's bills and the provider's charges side by side, a line for each day, model and kind."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

from models.accounting.expected_bill import KINDS, Bill, Unsure
from producer.reconcile.provider_report import Billed, Charge

ALL_KINDS = "all kinds"  # money of a day and model that has costs without parts
# A day, a model without its date, since the report may have either name, and a service tier.
DayModel: TypeAlias = tuple[date, str, str]
_DATED = re.compile(r"-\d{8}$")
_NANO = Decimal("0.000000001")
_ZERO = Decimal(0)
_MONEY = ("ledger_usd", "provider_usd", "list_usd", "slack_usd")
_Value = TypeVar("_Value", Bill, Charge, Unsure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A day, model, service tier and kind on both sides: tokens (or searches), and USD; `slack_usd` is rounding."""

    day: date
    model: str
    tier: str
    kind: str
    ledger_count: int
    provider_count: int
    ledger_usd: Decimal
    provider_usd: Decimal
    list_usd: Decimal
    slack_usd: Decimal

    @property
    def count(self) -> int:
        """How many the provider has more."""
        return self.provider_count - self.ledger_count

    @property
    def usd(self) -> Decimal:
        """How much more the provider charges."""
        return self.provider_usd - self.ledger_usd

    @property
    def is_there(self) -> bool:
        """Whether either side has anything."""
        return bool(self.ledger_count or self.provider_count or self.ledger_usd or self.provider_usd)

    @property
    def is_drift(self) -> bool:
        """Whether they differ by more than rounding."""
        return self.count != 0 or abs(self.usd) > self.slack_usd

    @property
    def price_usd(self) -> Decimal:
        """The part of the difference that is of prices: the ledger's own tokens at the provider's price."""
        if not self.ledger_count or not self.provider_count:
            return _ZERO
        usd = self.ledger_count * self.provider_usd / self.provider_count - self.ledger_usd
        return usd if abs(usd) > self.slack_usd else _ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All lines by place, the bill of each place, perhaps empty, and the requests that the provider counts there."""

    lines: Mapping[DayModel, tuple[Line, ...]]
    bills: Mapping[DayModel, Bill]
    requests: Mapping[DayModel, int]


def side_by_side(bills: Iterable[Bill], billed: Billed) -> Sheet:
    """Bring both to the same days, models, tiers and kinds. A line of zeros on both sides is left out."""
    ours: dict[DayModel, Bill] = {}
    for bill in bills:
        place = (bill.day, _undated(bill.model), bill.tier)
        ours[place] = added(ours[place], bill) if place in ours else bill
    charges = defaultdict[DayModel, dict[str, Charge]](dict)
    for (day, model, tier, kind), charge in billed.charges.items():
        place = (day, _undated(model), tier)
        charges[place][kind] = added(charges[place].get(kind, Charge()), charge)
        ours.setdefault(place, Bill(day=day, model=place[1], tier=tier))
    requests = defaultdict[DayModel, int](int)
    for (day, model, tier), count in billed.requests.items():
        requests[day, _undated(model), tier] += count
    lines = {place: _lines(ours[place], charges[place]) for place in sorted(ours)}
    return Sheet(lines=lines, bills=ours, requests=requests)


def added(one: _Value, other: _Value) -> _Value:
    """Add two values field by field. Numbers and mappings are summed, and the later time counts."""
    sums = {field.name: _sum(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)}
    return replace(one, **sums)


def _sum(one: Any, other: Any) -> Any:
    match one:
        case int() | Decimal():
            return one + other
        case Mapping():
            return {kind: one.get(kind, 0) + other.get(kind, 0) for kind in {**one, **other}}
        case Unsure():
            return added(one, other)
        case datetime():
            return one if other is None else max(one, other)
    return other if one is None else one


def _undated(model: str) -> str:
    return _DATED.sub("", model)


def _lines(bill: Bill, charges: Mapping[str, Charge]) -> tuple[Line, ...]:
    kinds = (*KINDS, *sorted(charges.keys() - set(KINDS)))
    lines = [_line(kind, bill, charges.get(kind, Charge())) for kind in kinds]
    if bill.unsplit_usd:
        lines = _whole(lines, bill.unsplit_usd)
    return tuple(line for line in lines if line.is_there)


def _line(kind: str, bill: Bill, charge: Charge) -> Line:
    return Line(
        day=bill.day,
        model=bill.model,
        tier=bill.tier,
        kind=kind,
        ledger_count=bill.counts.get(kind, 0),
        provider_count=charge.count,
        ledger_usd=bill.usd.get(kind, _ZERO),
        provider_usd=charge.usd,
        list_usd=charge.list_usd,
        # Each attempt's part is within a nano-dollar of the exact part; the provider rounds its figures.
        slack_usd=charge.unit_usd / 2 + bill.rounded * _NANO,
    )


def _whole(lines: list[Line], unsplit_usd: Decimal) -> list[Line]:
    """Compare the money of one day and model in one line, since some costs have no parts."""
    sums: dict[str, Any] = {name: sum((getattr(line, name) for line in lines), _ZERO) for name in _MONEY}
    sums["ledger_usd"] += unsplit_usd
    whole = replace(lines[0], kind=ALL_KINDS, ledger_count=0, provider_count=0, **sums)
    return [*(replace(line, ledger_usd=_ZERO, provider_usd=_ZERO, list_usd=_ZERO) for line in lines), whole]
