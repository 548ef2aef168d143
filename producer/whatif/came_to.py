"""What jobs came to, or would have: counts, money, depths, times; chances add up to expected counts."""

from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from models.chain.replay import ONE, ZERO
from models.reports.job_history import Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one job's calls come to: how many, their cost where it is known, how many are not, how long they take."""

    calls: Decimal = ZERO
    cost_usd: Decimal = ZERO
    unknown_costs: Decimal = ZERO
    work_ms: float = 0.0


@dataclass(slots=True, kw_only=True)
class Figures:
    """The sums of some jobs; counts are whole where they were counted, and expected where they would have been.

    `cost_usd` sums what is known; `unknown_costs` counts the calls that are not in it. Durations are in ms.
    """

    jobs: int = 0
    answered: Decimal = ZERO
    failed: Decimal = ZERO
    attempts: Decimal = ZERO
    cost_usd: Decimal = ZERO
    unknown_costs: Decimal = ZERO
    depths: defaultdict[int, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    durations: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, spent: Spent, depths: Mapping[int, Decimal], duration_ms: float) -> None:
        """Add one job's; `depths` are its chances of an accepted answer."""
        accepted = sum(depths.values(), ZERO)
        self.jobs += 1
        self.answered += accepted
        self.failed += ONE - accepted
        self.attempts += spent.calls
        self.cost_usd += spent.cost_usd
        self.unknown_costs += spent.unknown_costs
        for depth, chance in depths.items():
            self.depths[depth] += chance
        self.durations.append(duration_ms)

    @property
    def per_answer_usd(self) -> Decimal | None:
        """What an accepted answer costs; None where there is none, or a cost is unknown."""
        return self.cost_usd / self.answered if self.answered and not self.unknown_costs else None

    @property
    def mean_depth(self) -> Decimal | None:
        """Rungs given up before an answer."""
        return (
            sum((depth * share for depth, share in self.depths.items()), ZERO) / self.answered
            if self.answered
            else None
        )

    def duration_ms(self, percent: int) -> float | None:
        """Tell how long the job took that so many of a hundred are not slower than."""
        each = sorted(self.durations)
        return each[(len(each) - 1) * percent // 100] if each else None


@dataclass(slots=True, kw_only=True)
class Range:
    """Sums of the least and the most of each job."""

    low: Decimal = ZERO
    high: Decimal = ZERO

    def add(self, each: Sequence[Decimal]) -> None:
        """Add one job's."""
        self.low += min(each)
        self.high += max(each)


@dataclass(slots=True, kw_only=True)
class BatchTime:
    """When a batch's first job was accepted and its last one ended, and how long its calls took and would have."""

    began_at: datetime
    ended_at: datetime
    happened_ms: float = 0.0
    would_ms: float = 0.0

    @property
    def would_end_at(self) -> datetime:
        """Move its end by the change in work, divided by how many calls ran at a time."""
        makespan_ms = (self.ended_at - self.began_at) / timedelta(milliseconds=1)
        at_a_time = max(self.happened_ms / makespan_ms, 1.0) if makespan_ms > 0 else 1.0
        moved = timedelta(milliseconds=(self.would_ms - self.happened_ms) / at_a_time)
        return max(self.began_at, self.ended_at + moved)


@dataclass(slots=True, kw_only=True)
class Batches:
    """The batches that the jobs belong to."""

    times: dict[str, BatchTime] = field(default_factory=dict)

    def add(self, job: Recorded, happened: Spent, would: Spent) -> None:
        """Count a job's calls to its batch, if it has one."""
        if job.batch_id is None:
            return
        time = self.times.setdefault(job.batch_id, BatchTime(began_at=job.created_at, ended_at=job.finished_at))
        time.began_at, time.ended_at = min(time.began_at, job.created_at), max(time.ended_at, job.finished_at)
        time.happened_ms += happened.work_ms
        time.would_ms += would.work_ms

    def by_change(self) -> Iterator[tuple[str, BatchTime]]:
        """List them, those first whose end moves most."""
        yield from sorted(self.times.items(), key=lambda each: (-abs(each[1].would_ms - each[1].happened_ms), each[0]))
