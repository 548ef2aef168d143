"""Compares the ledger with the provider's report, and gives the differences their causes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from models.accounting.expected_bill import Bill, Unsure
from producer.reconcile.provider_report import Billed
from producer.reconcile.side_by_side import ALL_KINDS, DayModel, Line, Sheet, added, side_by_side

_ZERO = Decimal(0)
_DAY = timedelta(days=1)


class Because(StrEnum):
    """Why the ledger and the report differ."""

    MIDNIGHT = "midnight"  # running at midnight: opened on one day in the ledger, billed on the next by the provider
    UNKNOWN = "unknown"  # calls of unknown end, billed after all
    OPEN = "open"  # calls that have not ended yet
    OTHERS = "others"  # the provider has more than the ledger can explain: other users of the key or the organization
    BEHIND = "behind"  # the report is older than the last of the day's calls
    NOT_BILLED = "not billed"  # the ledger has more, and the report is complete
    UNPRICED = "unpriced"  # tokens that the ledger has no price for
    DISCOUNT = "discount"  # the ledger has list prices, and the provider charges less
    PRICES = "prices"  # the same tokens, another price
    ROUNDING = "rounding"


@dataclass(slots=True, kw_only=True)
class Cause:
    """A cause of a part of the drift, in USD, with the attempts or requests if counted.

    `most_usd` is an upper bound, if there is one.
    """

    because: Because
    usd: Decimal = _ZERO
    attempts: int | None = None
    most_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The compared sums and the causes of the difference. `unsure` counts attempts that the provider did not bill."""

    lines: tuple[Line, ...]
    causes: tuple[Cause, ...]
    unsure: Unsure
    refreshed_at: datetime | None

    @property
    def is_drift(self) -> bool:
        """Whether anything differs by more than rounding."""
        return any(line.is_drift for line in self.lines)

    @property
    def usd(self) -> Decimal:
        """How much more the provider charges in all."""
        return sum((line.usd for line in self.lines), _ZERO)


class _Causes(dict[Because, Cause]):
    """Causes as they are found, added up by name."""

    def __missing__(self, because: Because) -> Cause:
        cause = self[because] = Cause(because=because)
        return cause

    def add(self, because: Because, usd: Decimal, attempts: int = 0) -> None:
        self[because].usd += usd
        if attempts:
            self[because].attempts = (self[because].attempts or 0) + attempts

    def bound(self, because: Because, unsure: Unsure) -> None:
        """Add a bound before the attempts. A part without a bound leaves the whole without a bound."""
        cause = self[because]
        is_unbounded = unsure.unbounded or (cause.attempts is not None and cause.most_usd is None)
        cause.most_usd = None if is_unbounded else (cause.most_usd or _ZERO) + unsure.most_usd


def compare(bills: Iterable[Bill], billed: Billed) -> Drift:
    """Compare by day, model (without its date), service tier and kind, and give each difference a cause."""
    sheet, found, unsure = side_by_side(bills, billed), _Causes(), Unsure()
    left = _past_midnight(sheet, found)
    for place, lines in left.lines.items():
        unsure = added(
            unsure, _explain(lines, left.bills[place], left.requests.get(place, 0), billed.refreshed_at, found)
        )
    lines = tuple(line for some in sheet.lines.values() for line in some)
    return Drift(lines=lines, causes=(*found.values(),), unsure=unsure, refreshed_at=billed.refreshed_at)


def _past_midnight(sheet: Sheet, causes: _Causes) -> Sheet:
    """Take out attempts that the ledger has on one day and the provider on the next."""
    left = {(place, line.kind): line for place, lines in sheet.lines.items() for line in lines}
    requests = dict(sheet.requests)
    for place, bill in sheet.bills.items():
        next_day = (place[0] + _DAY, *place[1:])
        for kind, late in bill.late_counts.items():
            before, after = left.get((place, kind)), left.get((next_day, kind))
            moved = 0 if before is None or after is None else min(late, -before.count, after.count)
            if before is None or after is None or moved <= 0:
                continue
            usd = bill.late_usd.get(kind, _ZERO) * moved / late
            left[place, kind] = _with_less(before, moved, usd)
            left[next_day, kind] = _with_less(after, -moved, -usd)
            causes.add(Because.MIDNIGHT, usd)
        moved = _moved_requests(sheet, place, next_day)
        if moved:
            requests[place], requests[next_day] = requests.get(place, 0) + moved, requests[next_day] - moved
            causes.add(Because.MIDNIGHT, _ZERO, moved)
    lines = {place: tuple(left[place, line.kind] for line in some) for place, some in sheet.lines.items()}
    return replace(sheet, lines=lines, requests=requests)


def _with_less(line: Line, count: int, usd: Decimal) -> Line:
    return replace(line, ledger_count=line.ledger_count - count, ledger_usd=line.ledger_usd - usd)


def _moved_requests(sheet: Sheet, place: DayModel, next_day: DayModel) -> int:
    bill, after = sheet.bills[place], sheet.bills.get(next_day)
    missing = bill.attempts - sheet.requests.get(place, 0)
    extra = sheet.requests.get(next_day, 0) - (0 if after is None else after.attempts)
    return max(0, min(bill.late_attempts, missing, extra))


def _explain(
    lines: Sequence[Line], bill: Bill, requests: int, refreshed_at: datetime | None, causes: _Causes
) -> Unsure:
    """Explain the differences of one day and model. Returns the unsure attempts that were not billed."""
    more = less = _ZERO
    for line in lines:
        price = _price_usd(line, lines)
        _explain_price(line, price, bill, causes)
        more, less = more + max(line.usd - price, _ZERO), less + min(line.usd - price, _ZERO)
    extra = requests - bill.attempts
    if less < 0 or any(line.count < 0 for line in lines):
        is_behind = refreshed_at is not None and bill.last_at is not None and refreshed_at < bill.last_at
        causes.add(Because.BEHIND if is_behind else Because.NOT_BILLED, less, max(0, -extra))
    if more > 0 or any(line.count > 0 for line in lines):
        _explain_more(more, extra, bill, causes)
        return Unsure()
    return added(bill.unknown, bill.open)


def _price_usd(line: Line, lines: Sequence[Line]) -> Decimal:
    """Return the part of a difference that is due to prices: the whole if the counts agree."""
    if line.kind == ALL_KINDS:
        return _ZERO if any(other.count for other in lines) else line.usd
    if not line.ledger_count or not line.provider_count:
        return _ZERO
    return line.usd if not line.count else line.price_usd


def _explain_price(line: Line, usd: Decimal, bill: Bill, causes: _Causes) -> None:
    if not usd:
        return
    if abs(usd) <= line.slack_usd:
        causes.add(Because.ROUNDING, usd)
    elif bill.unpriced:
        causes.add(Because.UNPRICED, usd)
        causes[Because.UNPRICED].attempts = max(causes[Because.UNPRICED].attempts or 0, bill.unpriced)
    elif line.list_usd != line.provider_usd and abs(line.list_usd - line.ledger_usd) <= line.slack_usd:
        causes.add(Because.DISCOUNT, usd)
    else:
        causes.add(Because.PRICES, usd)


def _explain_more(more: Decimal, extra: int, bill: Bill, causes: _Causes) -> None:
    """Assign the provider's surplus to calls of unknown end, up to their bound, then to open calls."""
    for because, unsure in ((Because.UNKNOWN, bill.unknown), (Because.OPEN, bill.open)):
        if unsure.attempts:
            explained = more if unsure.unbounded else min(more, unsure.most_usd)
            causes.bound(because, unsure)
            causes.add(because, explained, unsure.attempts)
            more, extra = more - explained, extra - unsure.attempts
    if more > 0 or extra > 0:
        causes.add(Because.OTHERS, more, max(0, extra))
