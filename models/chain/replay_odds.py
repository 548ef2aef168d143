"""What a ledger's attempts say of each model: how often it answers, how much it writes, how long it takes."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from models.chain.replay import CLIMBABLE, FREE, GONE, ONE, ZERO, Odds
from models.outcome import Outcome

LEAST = 30  # replies below which a share is taken for chance
_Z = Decimal("1.96")  # 95 of 100
_SCALE = Decimal("0.0001")  # shares are told apart to a hundredth of a percent
Bound: TypeAlias = Literal["low", "expected", "high"]


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of one model, or of one model and task. `poor` counts replies by their word; latencies are in ms."""

    replies: int = 0
    poor: Counter[str] = field(default_factory=Counter)
    written: int = 0
    output_tokens: int = 0
    output_squares: int = 0
    latencies: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, other: "Tally") -> None:
        """Count another's attempts as well."""
        self.replies += other.replies
        self.poor.update(other.poor)
        self.written += other.written
        self.output_tokens += other.output_tokens
        self.output_squares += other.output_squares
        self.latencies.extend(other.latencies)

    def p50_ms(self) -> int | None:
        """Tell the middle latency of its replies; None without any."""
        return sorted(self.latencies)[(len(self.latencies) - 1) // 2] if self.latencies else None


@dataclass(slots=True, kw_only=True)
class Slot:
    """How a model's calls ended within ten minutes, but for those that were wrong or about the key.

    `passed` counts the jobs that went on without asking it, since it cooled or its limits were used up.
    """

    replies: int = 0
    free: int = 0
    gone: int = 0
    passed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallies:
    """All attempts of some days, counted. A slot is a ten-minute span, numbered by its time; a task may be None."""

    kinds: Mapping[tuple[str, str | None], Tally] = field(default_factory=lambda: defaultdict(Tally))
    slots: Mapping[tuple[str, int], Slot] = field(default_factory=lambda: defaultdict(Slot))
    rungs: Counter[tuple[int, str]] = field(default_factory=Counter)
    failing_ms: Counter[str] = field(default_factory=Counter)
    failing: Counter[str] = field(default_factory=Counter)

    def add(
        self, model: str, task: str | None, slot: int, end: str | None, latency: int | None, out: int | None
    ) -> None:
        """Count one attempt; `out` are its output tokens."""
        if end == Outcome.ANSWERED or end in CLIMBABLE:
            self.slots[model, slot].replies += 1
            _count(self.kinds[model, task], end, latency, out)
        elif end in FREE or end in GONE:
            self.slots[model, slot].free += end in FREE
            self.slots[model, slot].gone += end in GONE
            self.failing[model] += 1
            self.failing_ms[model] += latency or 0

    def chain(self, usual: Sequence[str]) -> tuple[str, ...]:
        """Tell the chain that was in force: for each rung the model most asked there, below them those of `usual`."""
        by_rung = dict[int, str]()
        for (rung, model), _ in sorted(self.rungs.items(), key=lambda each: (-each[1], each[0])):
            by_rung.setdefault(rung, model)
        last = max([*by_rung, -1]) + 1
        found = [by_rung.get(rung) or (usual[rung] if rung < len(usual) else usual[-1]) for rung in range(last)]
        return (*found, *(model for model in usual[last:] if model not in found))


def _share(count: int, of: int) -> Decimal:
    return (Decimal(count) / of).quantize(_SCALE) if of else ZERO


def _count(tally: Tally, end: str, latency: int | None, out: int | None) -> None:
    tally.replies += 1
    if end != Outcome.ANSWERED:
        tally.poor[end] += 1
    if out is not None and end in {Outcome.ANSWERED, Outcome.TRUNCATED}:
        tally.written += 1
        tally.output_tokens += out
        tally.output_squares += out * out
    if latency is not None:
        tally.latencies.append(latency)


class Quality(NamedTuple):
    """Shares of poor replies, from how many replies of which model they are; `is_own`: of the model in question."""

    shares: tuple[tuple[str, Decimal], ...]
    replies: int
    model: str | None
    is_own: bool


class Ratio(NamedTuple):
    """How much longer one model's answers are than another's; `is_learned` is False where one is taken for one."""

    low: Decimal = ONE
    expected: Decimal = ONE
    high: Decimal = ONE
    is_learned: bool = True


class Oracle:
    """Answers what a model would have done, from tallies; each question once."""

    def __init__(self, tallies: Tallies, models: Sequence[str]) -> None:
        self._tallies = tallies
        self._models = models
        self._whole = defaultdict[str, Tally](Tally)
        for (model, _), tally in tallies.kinds.items():
            self._whole[model].add(tally)
        # Asked for every job, answered once for each model and task.
        self.quality, self.ratio = lru_cache(None)(self._quality), lru_cache(None)(self._ratio)
        self._poor, self._p50_ms = lru_cache(None)(self._find_poor), lru_cache(None)(self._find_p50_ms)

    def odds(self, model: str, task: str | None, slot: int, bound: Bound = "expected") -> Odds:
        """Tell how a call may end: available as it was in those ten minutes, as good as it is at that task.

        `low` and `high` bound the share of poor replies, 95 times of 100.
        """
        seen = self._tallies.slots.get((model, slot), Slot())
        calls = seen.replies + seen.free + seen.gone
        unavailable, lost = _share(seen.free, calls), _share(seen.gone, calls)
        return Odds(
            unavailable=unavailable,
            lost=min(lost, ONE - unavailable),
            poor=self._poor(model, task, bound),
            passed=_share(seen.passed, calls + seen.passed),
        )

    def is_asked_in(self, model: str, slot: int) -> bool:
        """Tell whether anything is known of a model in these ten minutes."""
        return (model, slot) in self._tallies.slots

    def _quality(self, model: str, task: str | None) -> Quality:
        """Take a model's own replies at that task; too few, at all tasks; none, those of the nearest rung."""
        own, whole = self._tallies.kinds.get((model, task), Tally()), self._whole.get(model, Tally())
        best = own if own.replies >= LEAST or own.replies == whole.replies else whole
        if best.replies:
            return _quality(best, model, is_own=True)
        near = self.nearest(model)
        if near is None:
            return Quality(shares=(), replies=0, model=None, is_own=False)
        return _quality(self._tallies.kinds.get((near, task)) or self._whole[near], near, is_own=False)

    def nearest(self, model: str) -> str | None:
        """Find the nearest rung whose model was asked, the better one of two; else the model that answered most."""
        place = self._models.index(model) if model in self._models else 0
        asked = [(abs(rung - place), rung, name) for rung, name in enumerate(self._models) if self._is_known(name)]
        if asked:
            return min(asked)[2]
        return max(sorted(self._whole), key=lambda name: self._whole[name].replies, default=None)

    def _ratio(self, own: str, other: str, task: str | None) -> Ratio:
        """Compare what two models write at that task, where both have written enough."""
        if own == other:
            return Ratio()
        ours, theirs = self._tallies.kinds.get((own, task)), self._tallies.kinds.get((other, task))
        if ours is None or theirs is None or min(ours.written, theirs.written) < LEAST or not ours.output_tokens:
            return Ratio(is_learned=False)
        ratio = Decimal(theirs.output_tokens) / theirs.written / (Decimal(ours.output_tokens) / ours.written)
        slack = _Z * ratio * (_spread(ours) + _spread(theirs)).sqrt()
        return Ratio(low=max(ratio - slack, ZERO), expected=ratio, high=ratio + slack)

    def latency_ms(self, model: str, task: str | None, *, is_reply: bool) -> int | None:
        """Tell the middle latency of its replies at that task, or the mean of its failures; None where unknown."""
        if not is_reply:
            count = self._tallies.failing[model]
            return self._tallies.failing_ms[model] // count if count else 0
        return self._p50_ms(model, task)

    def _find_p50_ms(self, model: str, task: str | None) -> int | None:
        tallies = (self._tallies.kinds.get((model, task)), self._whole.get(model))
        return next((p50 for tally in tallies if tally and (p50 := tally.p50_ms()) is not None), None)

    def _is_known(self, model: str) -> bool:
        return model in self._whole and self._whole[model].replies > 0

    def _find_poor(self, model: str, task: str | None, bound: Bound) -> tuple[tuple[str, Decimal], ...]:
        found = self.quality(model, task)
        if bound == "expected":
            return found.shares
        share = sum((share for _, share in found.shares), ZERO)
        low, high = interval(share, found.replies if found.is_own else 0)
        wanted = low if bound == "low" else high
        shares = found.shares or ((str(Outcome.TRUNCATED), ONE),)
        total = sum((share for _, share in shares), ZERO)
        return tuple((word, wanted * each / total) for word, each in shares)


def interval(share: Decimal, count: int) -> tuple[Decimal, Decimal]:
    """Bound the share behind an observed one, 95 times of 100 (Wilson's score interval); of nothing, anything.

    >>> [round(bound, 3) for bound in interval(Decimal("0.1"), 100)]
    [Decimal('0.055'), Decimal('0.174')]
    """
    if not count:
        return ZERO, ONE
    square = _Z * _Z
    middle = share + square / (2 * count)
    slack = _Z * (share * (ONE - share) / count + square / (4 * count * count)).sqrt()
    whole = ONE + square / count
    return max((middle - slack) / whole, ZERO), min((middle + slack) / whole, ONE)


def _quality(tally: Tally, model: str, *, is_own: bool) -> Quality:
    shares = tuple((word, Decimal(count) / tally.replies) for word, count in sorted(tally.poor.items()))
    return Quality(shares=shares, replies=tally.replies, model=model, is_own=is_own)


def _spread(tally: Tally) -> Decimal:
    """Square of the relative error of a mean."""
    mean = Decimal(tally.output_tokens) / tally.written
    variance = max(Decimal(tally.output_squares) / tally.written - mean * mean, ZERO)
    return variance / tally.written / (mean * mean) if mean else ZERO
