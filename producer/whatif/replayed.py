"""Replays recorded jobs under a plan: what happened beside what would have, and what had to be assumed for it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from models.chain.replay import ONE, ZERO, Weights
from models.chain.replay_odds import Oracle, Tallies
from models.money.pricing import Prices
from models.reports.job_history import Recorded
from producer.whatif.came_to import Batches, Figures, Range, Spent
from producer.whatif.routes import Plan, Route
from producer.whatif.spent import Assumed, Notes, Purse
from producer.whatif.weighed import Scale, WindowOf

_ONE_MS = timedelta(milliseconds=1)


@dataclass(slots=True, kw_only=True)
class Replayed:
    """Both sides, and by task. `as_it_was` replays the chain in force, `by_averages` too, blind to what each job did.

    `cost_usd` and `answered` are bounded by how sure the shares and lengths are that `would` is made of.
    """

    happened: Figures = field(default_factory=Figures)
    would: Figures = field(default_factory=Figures)
    tasks: dict[str | None, tuple[Figures, Figures]] = field(default_factory=dict)
    batches: Batches = field(default_factory=Batches)
    as_it_was: Figures = field(default_factory=Figures)
    by_averages: Figures = field(default_factory=Figures)
    cost_usd: Range = field(default_factory=Range)
    answered: Range = field(default_factory=Range)
    notes: Notes = field(default_factory=Notes)


class Replayer:
    """Replays one job after the other."""

    def __init__(self, plan: Plan, tallies: Tallies, prices: Prices, window_of: WindowOf) -> None:
        oracle = Oracle(tallies, tuple(dict.fromkeys([*plan.models, *plan.was])))
        self._plan = plan
        self._scale = Scale(oracle, plan.was, window_of)
        self._purse = Purse(oracle, prices)

    def replay(self, jobs: Iterable[Recorded]) -> Replayed:
        """Add up all jobs."""
        sums = Replayed()
        for job in jobs:
            self._add(job, sums)
        return sums

    def _add(self, job: Recorded, sums: Replayed) -> None:
        route, spent = self._plan.would(job), self._purse.happened(job)
        weights = self._scale.weigh(job, route)
        expected = self._purse.expected(job, weights, notes=sums.notes)
        sums.notes.asked.update(one.model for one in job.made)
        sums.notes.jobs.update(Assumed(kind, model) for kind, model in route.gone)
        duration_ms = (job.finished_at - job.created_at) / _ONE_MS
        moved_ms = max(duration_ms + expected.work_ms - spent.work_ms, 0.0)
        mine = sums.tasks.setdefault(job.task, (Figures(), Figures()))
        for happened, would in ((sums.happened, sums.would), mine):
            happened.add(spent, {job.fallback_depth: ONE} if job.is_succeeded else {}, duration_ms)
            would.add(expected, weights.depths, moved_ms)
        sums.batches.add(job, spent, expected)
        self._bound(job, route, weights, expected, sums)
        if job.made:
            self._check(job, sums)
        else:  # a cap kept it from calling, and a replay knows of none
            for figures in (sums.as_it_was, sums.by_averages):
                figures.add(spent, {}, 0.0)

    def _bound(self, job: Recorded, route: Route, weights: Weights, expected: Spent, sums: Replayed) -> None:
        costs, accepted = [expected.cost_usd], [ONE - weights.failed]
        if weights.calls:
            for bound in ("low", "high"):
                other = self._scale.weigh(job, route, bound)
                costs.append(self._purse.expected(job, other, bound).cost_usd)
                accepted.append(ONE - other.failed)
        sums.cost_usd.add(costs)
        sums.answered.add(accepted)

    def _check(self, job: Recorded, sums: Replayed) -> None:
        was = self._plan.as_it_was(job)
        for figures, is_blind in ((sums.as_it_was, False), (sums.by_averages, True)):
            weights = self._scale.weigh(job, was, is_blind=is_blind)
            figures.add(self._purse.expected(job, weights), weights.depths, 0.0)


def off(replayed: Figures, recorded: Figures) -> Decimal | None:
    """Tell how far a replay of what was is off, as a share of what was recorded; None where that is nothing."""
    return abs(replayed.cost_usd - recorded.cost_usd) / recorded.cost_usd if recorded.cost_usd > ZERO else None
