"""The best start of a job, by each rung's cost of an accepted answer in the records of the task kind.

A start costs the rung's own call and, after a failure, the climb: E(s) = cost(s) + (1 - p(s)) * E(s - 1), up to the
ceiling. For a rung below the ceiling `weigh` takes the lower 95 % bound of the share. So chance alone moves no job
down. `expect` follows the same climb with the shares as they are, for a comparison of starts.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Literal, TypeAlias

from models.chain.chain import RungRange

LEAST = 30  # jobs below which a share may be chance
WANTED = 60  # jobs below which a rung is explored, before its record grows too old
MARGIN = Decimal("0.01")  # of jobs that a start may lose beyond the ceiling, both at their upper bound
_Z = Decimal("1.96")  # 95 % between both bounds
_ZERO, _ONE = Decimal(0), Decimal(1)
_TRUNCATED = "truncated"
_ENDING = ("refused", "empty", "invalid")  # ends without an answer, unless the kind climbs on them
_HASHED = 2**64
Bound: TypeAlias = Literal["low", "expected", "high"]  # of a share: an end of the 95 % interval, or the share itself


class StartVerdict(StrEnum):
    """The reason for or against a start."""

    PICKED = "picked"
    DEARER = "dearer"  # an accepted answer costs more from here than from the picked start
    TOO_FEW = "too_few"  # fewer than LEAST jobs of this kind started here
    UNPRICED = "unpriced"  # the cost of every such job is unknown
    LOSES = "loses"  # more jobs may end without an answer than from the ceiling
    NO_YARDSTICK = "no_yardstick"  # fewer than LEAST jobs started at the ceiling, so nothing compares


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRecord:
    """One task kind on one model, counted in jobs: a row of v_starts.

    `unaccepted` counts the other jobs of `judged` by their end. `climbed` counts the harder jobs, which came up from a
    cheaper rung. `mean_cost_usd` is None if unknown.
    """

    judged: int = 0
    accepted: int = 0
    unaccepted: Mapping[str, int] = field(default_factory=dict)
    climbed: int = 0
    climbed_accepted: int = 0
    unknown_costs: int = 0
    mean_cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedStart:
    """One rung as a start. `cost_usd` is the cost of an accepted answer from that rung, None if unknown."""

    rung: int
    reason: StartVerdict
    judged: int
    accepted: int
    low: Decimal
    high: Decimal
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Path:
    """A job before a rung: its further cost, and its chance to end without an answer, both at their worst."""

    cost_usd: Decimal
    lost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The expected course of a job: its chance to reach each rung, and of an answer at each fallback depth."""

    visits: Mapping[int, Decimal]
    depths: Mapping[int, Decimal]


def weigh(records: Sequence[StartRecord], span: RungRange, climbs: Collection[str]) -> tuple[WeighedStart, ...]:
    """Weigh each rung of a span as a start, from the ceiling down; `records` are the chain's, by rung.

    The picked start has the least cost of an accepted answer and at least LEAST jobs. Its share of lost jobs is at most
    the ceiling's bound. Its own bound is at most MARGIN above that. No start is picked before LEAST jobs have
    started at the ceiling. `climbs` are the ends that a better model tries again. Without "truncated" in `climbs` a
    truncated answer is kept, and so accepted.
    """
    rungs = range(span.ceiling, span.floor + 1)
    yardstick = records[span.ceiling]
    if yardstick.judged < LEAST or yardstick.mean_cost_usd is None or not _accepted(yardstick, climbs):
        return tuple(_weighed(rung, records[rung], climbs, StartVerdict.NO_YARDSTICK, None) for rung in rungs)
    left = _ONE - bounds(_accepted(yardstick, climbs), yardstick.judged)[0]
    costs = {span.ceiling: yardstick.mean_cost_usd * yardstick.judged / _accepted(yardstick, climbs)}
    against: dict[int, StartVerdict] = {}
    above = _Path(cost_usd=yardstick.mean_cost_usd, lost=_ONE - bounds(*_climbed(yardstick, climbs))[0])
    for _, rung in pairwise(rungs):
        record = records[rung]
        if reason := _against(record, left, climbs):
            against[rung] = reason
        elif record.mean_cost_usd is not None:
            costs[rung] = _per_answer(_from(record, record.mean_cost_usd, above, climbs))
        above = _through(record, above, climbs, known_usd=_known(records, rung, span))
    # Of starts at the same cost, the better model.
    best = min(costs, key=lambda rung: (costs[rung], rung))
    return tuple(
        _weighed(
            rung,
            records[rung],
            climbs,
            against.get(rung) or (StartVerdict.PICKED if rung == best else StartVerdict.DEARER),
            costs.get(rung),
        )
        for rung in rungs
    )


def picked(weighed: Sequence[WeighedStart]) -> int | None:
    """Return the picked start. Returns None if too little is known."""
    return next((one.rung for one in weighed if one.reason is StartVerdict.PICKED), None)


def expect(
    records: Sequence[StartRecord], span: RungRange, climbs: Collection[str], bound: Bound = "expected"
) -> Expected:
    """Return the expected course of a job that starts at `span.start`; `records` and `climbs` are as for `weigh`.

    Every model is available. An end in `climbs` and a prompt too long for a model climb; other ends stop the job. At
    the ceiling a truncated answer is kept. A record without jobs always answers, at its low bound never.
    """
    visits, depths, coming = dict[int, Decimal](), dict[int, Decimal](), _ONE
    for depth, rung in enumerate(range(span.start, span.ceiling - 1, -1)):
        record = records[rung]
        here: Collection[str] = climbs if rung > span.ceiling else ()
        counts = _climbed(record, here) if depth else (_accepted(record, here), record.judged)
        share = _share(*counts, bound)
        visits[rung], depths[depth] = coming, coming * share
        coming *= (_ONE - share) * _climbing(record, climbs)
        if not coming:
            break
    return Expected(visits=visits, depths=depths)


def explored(job_id: str, start: int, records: Sequence[StartRecord], span: RungRange, *, share: Decimal) -> int | None:
    """Choose another start for a small share of jobs, to learn of rungs that nobody tries. Returns None for all others.

    The job's id alone decides. The other start is a rung with fewer than WANTED jobs, else the rung below `start`. A
    lower start costs at most one attempt more on each rung between the two. A higher start costs at most that rung's
    price. So at most `share` of the jobs explore, and EXPLORE_PER_DAY of a kind each day. Exploring costs at most as
    much again as the dearest of these jobs. If a kind does not climb on refused answers, as many jobs may end refused.
    """
    digest = hashlib.sha256(job_id.encode()).digest()
    if int.from_bytes(digest[:8]) >= share * _HASHED:
        return None
    rungs = [rung for rung in range(span.ceiling, span.floor + 1) if rung != start]
    unknown = [rung for rung in rungs if records[rung].judged < WANTED]
    choice = unknown or [rung for rung in rungs if rung == start + 1]
    return choice[int.from_bytes(digest[8:16]) % len(choice)] if choice else None


def bounds(accepted: int, judged: int) -> tuple[Decimal, Decimal]:
    """Return the shares between which the true share lies in 95 of 100 cases. Source: Wilson's score interval.

    >>> [round(bound, 3) for bound in bounds(412, 430)]
    [Decimal('0.935'), Decimal('0.973')]
    """
    if not judged:
        return _ZERO, _ONE
    middle = accepted + _Z**2 / 2
    around = _Z * (Decimal(accepted * (judged - accepted)) / judged + _Z**2 / 4).sqrt()
    return max(_ZERO, (middle - around) / (judged + _Z**2)), min(_ONE, (middle + around) / (judged + _Z**2))


def _accepted(record: StartRecord, climbs: Collection[str]) -> int:
    return record.accepted + (0 if _TRUNCATED in climbs else record.unaccepted.get(_TRUNCATED, 0))


def _lost(record: StartRecord, climbs: Collection[str]) -> tuple[Decimal, Decimal]:
    """Return the share of jobs that end here without an answer, and its upper bound."""
    if set(_ENDING) <= set(climbs):
        return _ZERO, _ZERO
    count = _stopped(record, climbs)
    return Decimal(count) / max(1, record.judged), bounds(count, record.judged)[1]


def _stopped(record: StartRecord, climbs: Collection[str]) -> int:
    return sum(record.unaccepted.get(word, 0) for word in _ENDING if word not in climbs)


def _climbing(record: StartRecord, climbs: Collection[str]) -> Decimal:
    """Return the share of unaccepted jobs that climb. Without such jobs all climb if anything climbs."""
    unaccepted = record.judged - _accepted(record, climbs)
    return _ONE - Decimal(_stopped(record, climbs)) / unaccepted if unaccepted else Decimal(bool(climbs))


def _share(accepted: int, judged: int, bound: Bound) -> Decimal:
    if bound == "expected":
        return Decimal(accepted) / judged if judged else _ONE
    return bounds(accepted, judged)[bound == "high"]


def _against(record: StartRecord, left: Decimal, climbs: Collection[str]) -> StartVerdict | None:
    if record.judged < LEAST:
        return StartVerdict.TOO_FEW
    if record.mean_cost_usd is None:
        return StartVerdict.UNPRICED
    share, worst = _lost(record, climbs)
    return StartVerdict.LOSES if share > left or worst > left + MARGIN else None


def _from(record: StartRecord, cost_usd: Decimal, above: _Path, climbs: Collection[str]) -> _Path:
    """Return the path of a job that starts at a rung."""
    climbing = _ONE - bounds(_accepted(record, climbs), record.judged)[0]
    lost = _lost(record, climbs)[1]
    return _Path(cost_usd=cost_usd + climbing * above.cost_usd, lost=min(_ONE, lost + climbing * above.lost))


def _through(record: StartRecord, above: _Path, climbs: Collection[str], *, known_usd: Decimal) -> _Path:
    """Return the path of a job that comes up to a rung. Without a record it fails, at the price of the rung above."""
    climbing = _ONE - bounds(*_climbed(record, climbs))[0]
    return _Path(cost_usd=known_usd + climbing * above.cost_usd, lost=climbing * above.lost)


def _climbed(record: StartRecord, climbs: Collection[str]) -> tuple[int, int]:
    """Return the accepted and all jobs behind a climb: the jobs that climbed here if enough did, else all."""
    if record.climbed >= LEAST:
        return record.climbed_accepted, record.climbed
    return _accepted(record, climbs) + record.climbed_accepted, record.judged + record.climbed


def _known(records: Sequence[StartRecord], rung: int, span: RungRange) -> Decimal:
    above = (records[better].mean_cost_usd for better in range(rung, span.ceiling - 1, -1))
    return next(cost for cost in above if cost is not None)  # the ceiling's is known


def _per_answer(path: _Path) -> Decimal:
    return path.cost_usd / (_ONE - path.lost) if path.lost < _ONE else Decimal("Infinity")


def _weighed(
    rung: int, record: StartRecord, climbs: Collection[str], reason: StartVerdict, cost_usd: Decimal | None
) -> WeighedStart:
    accepted = _accepted(record, climbs)
    low, high = bounds(accepted, record.judged)
    return WeighedStart(
        rung=rung, reason=reason, judged=record.judged, accepted=accepted, low=low, high=high, cost_usd=cost_usd
    )
