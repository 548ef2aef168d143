"""Where a job had best start: what an accepted answer costs from each rung, by what the ledger knows of its kind.

Starting at a rung costs that rung, and, where it fails, whatever the climb from there costs: E(s) = cost(s) +
(1 - p(s)) * E(s - 1), to the ceiling. How often a rung below the ceiling will do is judged by the lower 95 % bound, and
the ceiling's own by its share: chance alone moves no job down.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from models.chain.chain import Span

LEAST = 30  # jobs below which a share is taken for chance
WANTED = 60  # jobs below which a rung is explored: before what is known of it grows too old to go by
MARGIN = Decimal("0.01")  # by how much more jobs a start may lose than the ceiling, both at their worst
_Z = Decimal("1.96")  # 95 % between both bounds
_ZERO, _ONE = Decimal(0), Decimal(1)
_TRUNCATED = "truncated"
_ENDING = ("refused", "empty", "invalid")  # where a kind does not climb on it, its job ends without an answer
_HASHED = 2**64


class Why(StrEnum):
    """What speaks for or against a start."""

    PICKED = "picked"
    DEARER = "dearer"  # an accepted answer costs more from here than from the one picked
    TOO_FEW = "too_few"  # fewer than LEAST jobs of this kind started here
    UNPRICED = "unpriced"  # what it costs is known of none of them
    LOSES = "loses"  # more jobs may end without an answer than from the ceiling
    NO_YARDSTICK = "no_yardstick"  # of the ceiling itself too little is known to compare with


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the ledger knows of one task kind on one model, in jobs: a row of v_starts.

    `unaccepted` counts those of `judged` that were not `accepted`, by how they ended. Those that came up from a cheaper
    rung, the harder ones, are `climbed`. `mean_cost_usd` is None where nobody knows it.
    """

    judged: int = 0
    accepted: int = 0
    unaccepted: Mapping[str, int] = field(default_factory=dict)
    climbed: int = 0
    climbed_accepted: int = 0
    unknown_costs: int = 0
    mean_cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """One rung as a start. `cost_usd` is what an accepted answer costs from there, None where that is not known."""

    rung: int
    why: Why
    judged: int
    accepted: int
    low: Decimal
    high: Decimal
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Path:
    """What a job costs that stands before a rung, and how likely it ends without an answer: both at their worst."""

    cost_usd: Decimal
    lost: Decimal


def weigh(records: Sequence[Record], span: Span, climbs: Collection[str]) -> tuple[Weighed, ...]:
    """Weigh each rung of a span as a start, from the ceiling down; `records` are the chain's, by rung.

    The one picked, if any, has the least cost of an accepted answer, at least LEAST jobs behind it, and loses no more
    jobs than the ceiling leaves without an answer: by its share no more than the ceiling's bound, by its own bound at
    most MARGIN more. Nothing is picked before LEAST jobs have started at the ceiling. `climbs` are the ends that are
    tried again on a better model; a truncated answer that is not among them is kept, and so accepted.
    """
    rungs = range(span.ceiling, span.floor + 1)
    yardstick = records[span.ceiling]
    if yardstick.judged < LEAST or yardstick.mean_cost_usd is None or not _accepted(yardstick, climbs):
        return tuple(_weighed(rung, records[rung], climbs, Why.NO_YARDSTICK, None) for rung in rungs)
    left = _ONE - bounds(_accepted(yardstick, climbs), yardstick.judged)[0]
    costs = {span.ceiling: yardstick.mean_cost_usd * yardstick.judged / _accepted(yardstick, climbs)}
    against: dict[int, Why] = {}
    above = _at_the_top(yardstick, yardstick.mean_cost_usd, climbs)
    for _, rung in pairwise(rungs):
        record = records[rung]
        if why := _against(record, left, climbs):
            against[rung] = why
        elif record.mean_cost_usd is not None:
            costs[rung] = _per_answer(_from(record, record.mean_cost_usd, above, climbs))
        above = _through(record, above, climbs, known_usd=_known(records, rung, span))
    # Of those that cost the same, the better model.
    best = min(costs, key=lambda rung: (costs[rung], rung))
    return tuple(
        _weighed(
            rung,
            records[rung],
            climbs,
            against.get(rung) or (Why.PICKED if rung == best else Why.DEARER),
            costs.get(rung),
        )
        for rung in rungs
    )


def picked(weighed: Sequence[Weighed]) -> int | None:
    """Tell which start was picked; None where too little is known."""
    return next((one.rung for one in weighed if one.why is Why.PICKED), None)


def explored(job_id: str, start: int, records: Sequence[Record], span: Span, *, share: Decimal) -> int | None:
    """Choose another start for a small share of jobs, so that what is not tried can be learned; None for all others.

    Whether and where is told by the job's id alone. It is a rung of which little is known, else the one below `start`.
    An answer that will not do climbs as ever: such a job costs, beside what it would have cost, at most one attempt on
    each rung between the two; one that starts higher costs at most that rung's price more. So exploring costs at most
    `share` of the jobs, and EXPLORE_PER_DAY of a kind each day, as much again as the dearest of them. Where a kind does
    not climb on refused answers, that many may also end refused that a better model would have answered.
    """
    digest = hashlib.sha256(job_id.encode()).digest()
    if int.from_bytes(digest[:8]) >= share * _HASHED:
        return None
    rungs = [rung for rung in range(span.ceiling, span.floor + 1) if rung != start]
    unknown = [rung for rung in rungs if records[rung].judged < WANTED]
    choice = unknown or [rung for rung in rungs if rung == start + 1]
    return choice[int.from_bytes(digest[8:16]) % len(choice)] if choice else None


def bounds(accepted: int, judged: int) -> tuple[Decimal, Decimal]:
    """Tell between which shares the true one lies, in 95 of 100 cases. Source: Wilson's score interval.

    >>> [round(bound, 3) for bound in bounds(412, 430)]
    [Decimal('0.935'), Decimal('0.973')]
    """
    if not judged:
        return _ZERO, _ONE
    middle = accepted + _Z**2 / 2
    around = _Z * (Decimal(accepted * (judged - accepted)) / judged + _Z**2 / 4).sqrt()
    return max(_ZERO, (middle - around) / (judged + _Z**2)), min(_ONE, (middle + around) / (judged + _Z**2))


def _accepted(record: Record, climbs: Collection[str]) -> int:
    return record.accepted + (0 if _TRUNCATED in climbs else record.unaccepted.get(_TRUNCATED, 0))


def _lost(record: Record, climbs: Collection[str]) -> tuple[Decimal, Decimal]:
    """Tell the share of jobs that end here without an answer, and its upper bound."""
    ending = [word for word in _ENDING if word not in climbs]
    if not ending:
        return _ZERO, _ZERO
    count = sum(record.unaccepted.get(word, 0) for word in ending)
    return Decimal(count) / max(1, record.judged), bounds(count, record.judged)[1]


def _against(record: Record, left: Decimal, climbs: Collection[str]) -> Why | None:
    if record.judged < LEAST:
        return Why.TOO_FEW
    if record.mean_cost_usd is None:
        return Why.UNPRICED
    share, worst = _lost(record, climbs)
    return Why.LOSES if share > left or worst > left + MARGIN else None


def _from(record: Record, cost_usd: Decimal, above: _Path, climbs: Collection[str]) -> _Path:
    """Start at a rung."""
    climbing = _ONE - bounds(_accepted(record, climbs), record.judged)[0]
    lost = _lost(record, climbs)[1]
    return _Path(cost_usd=cost_usd + climbing * above.cost_usd, lost=min(_ONE, lost + climbing * above.lost))


def _through(record: Record, above: _Path, climbs: Collection[str], *, known_usd: Decimal) -> _Path:
    """Come to a rung on the way up: by how it served those that did, once they are enough, else by how it served all.

    Where nothing is known it is taken to fail, at the price of the better rung above it.
    """
    climbing = _ONE - _climbed(record, climbs)
    return _Path(cost_usd=known_usd + climbing * above.cost_usd, lost=climbing * above.lost)


def _at_the_top(record: Record, cost_usd: Decimal, climbs: Collection[str]) -> _Path:
    return _Path(cost_usd=cost_usd, lost=_ONE - _climbed(record, climbs))


def _climbed(record: Record, climbs: Collection[str]) -> Decimal:
    if record.climbed >= LEAST:
        return bounds(record.climbed_accepted, record.climbed)[0]
    return bounds(_accepted(record, climbs) + record.climbed_accepted, record.judged + record.climbed)[0]


def _known(records: Sequence[Record], rung: int, span: Span) -> Decimal:
    above = (records[better].mean_cost_usd for better in range(rung, span.ceiling - 1, -1))
    return next(cost for cost in above if cost is not None)  # the ceiling's is known


def _per_answer(path: _Path) -> Decimal:
    return path.cost_usd / (_ONE - path.lost) if path.lost < _ONE else Decimal("Infinity")


def _weighed(rung: int, record: Record, climbs: Collection[str], why: Why, cost_usd: Decimal | None) -> Weighed:
    accepted = _accepted(record, climbs)
    low, high = bounds(accepted, record.judged)
    return Weighed(rung=rung, why=why, judged=record.judged, accepted=accepted, low=low, high=high, cost_usd=cost_usd)
