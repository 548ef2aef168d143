"""The ledger's bills and the provider's charges side by side, a line for each day, model and kind."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import TypeAlias

from models.accounting.expected_bill import KINDS, Bill, Unsure
from producer.reconcile.provider_report import Billed, Charge

ALL_KINDS = "all kinds"  # money of a day and model that has costs without parts
DayModel: TypeAlias = tuple[date, str]  # a day, and a model without its date: the report may have either name
_DATED = re.compile(r"-\d{8}$")
_NANO = Decimal("0.000000001")
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A day, model and kind on both sides: tokens (or searches), and USD; `slack_usd` is rounding."""

    day: date
    model: str
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
    """All lines by place, the bill of each place, and the requests that the provider counts there."""

    lines: Mapping[DayModel, tuple[Line, ...]]
    bills: Mapping[DayModel, Bill]
    requests: Mapping[DayModel, int]


def side_by_side(bills: Iterable[Bill], billed: Billed) -> Sheet:
    """Bring both to the same days, models and kinds; a line that is zero on both sides is left out."""
    ours: dict[DayModel, Bill] = {}
    for bill in bills:
        place = (bill.day, _undated(bill.model))
        ours[place] = joined(ours[place], bill) if place in ours else bill
    charges = defaultdict[DayModel, dict[str, Charge]](dict)
    for (day, model, kind), charge in billed.charges.items():
        theirs = charges[day, _undated(model)]
        theirs[kind] = _added(theirs.get(kind, Charge()), charge)
    requests = defaultdict[DayModel, int](int)
    for (day, model), count in billed.requests.items():
        requests[day, _undated(model)] += count
    lines = {place: _lines(place, ours.get(place), charges.get(place, {})) for place in sorted({*ours, *charges})}
    return Sheet(lines=lines, bills=ours, requests=requests)


def both(one: Unsure, other: Unsure) -> Unsure:
    """Add the figures of unsure attempts."""
    return Unsure(
        attempts=one.attempts + other.attempts,
        most_usd=one.most_usd + other.most_usd,
        unbounded=one.unbounded + other.unbounded,
    )


def joined(one: Bill, other: Bill) -> Bill:
    """Add the bills of one model under two of its names."""

    def added(name: str) -> dict[str, int | Decimal]:
        ours, theirs = getattr(one, name), getattr(other, name)
        return {kind: ours.get(kind, 0) + theirs.get(kind, 0) for kind in KINDS}

    sums = {name: added(name) for name in ("counts", "usd", "late_counts", "late_usd")}
    plain = ("attempts", "rounded", "unsplit_usd", "unpriced", "late_attempts")
    return replace(
        one,
        **sums,  # type: ignore[arg-type] # counts and money, as they were
        **{name: getattr(one, name) + getattr(other, name) for name in plain},
        last_at=max((at for at in (one.last_at, other.last_at) if at is not None), default=None),
        unknown=both(one.unknown, other.unknown),
        open=both(one.open, other.open),
    )


def _undated(model: str) -> str:
    return _DATED.sub("", model)


def _added(one: Charge, other: Charge) -> Charge:
    return Charge(
        count=one.count + other.count,
        usd=one.usd + other.usd,
        list_usd=one.list_usd + other.list_usd,
        unit_usd=one.unit_usd + other.unit_usd,
    )


def _lines(place: DayModel, bill: Bill | None, charges: Mapping[str, Charge]) -> tuple[Line, ...]:
    kinds = (*KINDS, *sorted(charges.keys() - set(KINDS)))
    lines = [_line(place, kind, bill, charges.get(kind, Charge())) for kind in kinds]
    if bill is not None and bill.unsplit_usd:
        lines = _whole(lines, bill.unsplit_usd)
    return tuple(line for line in lines if line.is_there)


def _line(place: DayModel, kind: str, bill: Bill | None, charge: Charge) -> Line:
    return Line(
        day=place[0],
        model=place[1] if bill is None else bill.model,
        kind=kind,
        ledger_count=0 if bill is None else bill.counts.get(kind, 0),
        provider_count=charge.count,
        ledger_usd=_ZERO if bill is None else bill.usd.get(kind, _ZERO),
        provider_usd=charge.usd,
        list_usd=charge.list_usd,
        # Each attempt's part is within a nano-dollar of the exact part; the provider rounds its figures.
        slack_usd=charge.unit_usd / 2 + (_ZERO if bill is None else bill.rounded * _NANO),
    )


def _whole(lines: list[Line], unsplit_usd: Decimal) -> list[Line]:
    """Compare the money of one day and model in one line, since some costs have no parts."""
    whole = Line(
        day=lines[0].day,
        model=lines[0].model,
        kind=ALL_KINDS,
        ledger_count=0,
        provider_count=0,
        ledger_usd=unsplit_usd + sum((line.ledger_usd for line in lines), _ZERO),
        provider_usd=sum((line.provider_usd for line in lines), _ZERO),
        list_usd=sum((line.list_usd for line in lines), _ZERO),
        slack_usd=sum((line.slack_usd for line in lines), _ZERO),
    )
    counts = [replace(line, ledger_usd=_ZERO, provider_usd=_ZERO, list_usd=_ZERO) for line in lines]
    return [*counts, whole]
