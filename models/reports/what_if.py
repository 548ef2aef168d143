"""Recorded jobs as they went, beside the same jobs under another chain or other starts.

A job that starts on the same model counts as it went. Any other job follows the records of v_starts, by which starts
are learned. Models accept as often as there, and their costs compare as there.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from models.chain.best_start import LEAST, Bound, Expected, StartRecord, expect
from models.chain.chain import RungRange
from models.money.pricing import Prices, parts_usd
from models.reports.job_history import RecordedJob
from models.reports.learned_starts import ASKED

ANY_TASK = "*"  # in --starts: every task kind without a start of its own, and jobs without a kind
BOUNDS: tuple[Bound, ...] = ("low", "expected", "high")
_ZERO, _ONE = Decimal(0), Decimal(1)
_Records: TypeAlias = Mapping[tuple[str, str], StartRecord]


class Assumption(NamedTuple):
    """An assumption about a model at a task kind; `instead` is the model taken in the place of `model`."""

    because: str
    model: str
    task: str | None = None
    instead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The chain in question. `was` is the chain in force, whose rungs the jobs name.

    `starts` are rungs by task kind; jobs of the kinds in `kept` keep their start. `climbs` are the ends that climb
    unless a job names its own.
    """

    models: tuple[str, ...]
    was: tuple[str, ...]
    starts: Mapping[str, int] = field(default_factory=dict)
    kept: Collection[str] = ()
    climbs: frozenset[str] = frozenset()

    def span(self, job: RecordedJob) -> tuple[RungRange, list[Assumption]]:
        """Return the rungs that a job may use, and the assumptions about bounds that this chain lacks."""
        gone = list[Assumption]()
        last = len(self.models) - 1
        floor = last if job.floor >= len(self.was) - 1 else self._rung("floor_gone", self.was[job.floor], last, gone)
        highest = self.was[min(job.ceiling, len(self.was) - 1)]
        ceiling = self._rung("ceiling_gone", highest, 0, gone) if job.ceiling else 0
        start = self.starts.get(job.task or ANY_TASK, self.starts.get(ANY_TASK, 0))
        if job.start_model and (job.start_reason == ASKED or job.task in self.kept):
            start = self._rung("start_gone", job.start_model, start, gone)
        # A chain in another order may turn the bounds around: the floor holds.
        ceiling = min(ceiling, floor)
        return RungRange(start=min(max(start, ceiling), floor), floor=floor, ceiling=ceiling), gone

    def is_unmoved(self, job: RecordedJob, span: RungRange) -> bool:
        """Return whether the plan changes nothing for a job: neither its start nor a rung on its way."""
        is_same_way = self.models == self.was or (job.is_answered and not job.fallback_depth)
        return not job.attempts or (self.models[span.start] == job.start_model and is_same_way)

    def _rung(self, because: str, model: str, otherwise: int, gone: list[Assumption]) -> int:
        if model in self.models:
            return self.models.index(model)
        gone.append(Assumption(because, model))
        return otherwise


@dataclass(slots=True, kw_only=True)
class Figures:
    """Sums over jobs: whole numbers as they happened, expected numbers under a plan.

    `depths` counts the answered jobs by fallback depth. `unknown_costs` counts the attempts that `cost_usd` leaves out.
    """

    jobs: int = 0
    attempts: Decimal = _ZERO
    cost_usd: Decimal = _ZERO
    unknown_costs: Decimal = _ZERO
    depths: defaultdict[int, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def add(self, other: "Figures") -> None:
        """Add the sums of other jobs."""
        self.jobs += other.jobs
        self.attempts += other.attempts
        self.cost_usd += other.cost_usd
        self.unknown_costs += other.unknown_costs
        for depth, count in other.depths.items():
            self.depths[depth] += count

    def named(self) -> dict[str, Decimal | None]:
        """Return the figures by name, and the figures derived from them. An unknown figure is None."""
        answered = sum(self.depths.values(), _ZERO)
        rungs = sum((depth * count for depth, count in self.depths.items()), _ZERO)
        return {
            "jobs": Decimal(self.jobs),
            "answered": answered,
            "failed": self.jobs - answered,
            "attempts": self.attempts,
            "cost_usd": self.cost_usd,
            "unknown_costs": self.unknown_costs,
            "cost_per_answer_usd": self.cost_usd / answered if answered and not self.unknown_costs else None,
            "mean_depth": rungs / answered if answered else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Both sides, in all and by task kind. `would` has the sums for each bound of the models' acceptance.

    `records` are those of the models that moved jobs may come to; `assumed` counts the jobs of each assumption.
    """

    happened: Figures = field(default_factory=Figures)
    would: Mapping[Bound, Figures] = field(default_factory=lambda: {bound: Figures() for bound in BOUNDS})
    tasks: dict[str | None, tuple[Figures, Figures]] = field(default_factory=dict)
    records: dict[tuple[str | None, str], StartRecord] = field(default_factory=dict)
    assumed: Counter[Assumption] = field(default_factory=Counter)
    moved: Counter[str | None] = field(default_factory=Counter)


class WhatIf:
    """Compares jobs one by one, by the records of v_starts and the prices of the day of each job."""

    def __init__(self, plan: Plan, records: _Records, prices: Prices) -> None:
        self._plan, self._records, self._prices = plan, records, prices
        self._models = tuple(dict.fromkeys((*plan.models, *plan.was)))
        # A million jobs are of a few kinds.
        self._courses, self._doubt = lru_cache(None)(self._find_courses), lru_cache(None)(self._find_doubt)

    def compare(self, jobs: Iterable[RecordedJob]) -> Comparison:
        """Add up all jobs on both sides."""
        found = Comparison()
        for job in jobs:
            span, gone = self._plan.span(job)
            happened = _happened(job)
            would = dict.fromkeys(BOUNDS, happened)
            if not self._plan.is_unmoved(job, span):
                found.moved[job.task] += 1
                found.assumed.update(gone)
                would = self._moved(job, span, found)
            was, other = found.tasks.setdefault(job.task, (Figures(), Figures()))
            for sums, amounts in ((found.happened, happened), (was, happened), (other, would["expected"])):
                sums.add(amounts)
            for bound in BOUNDS:
                found.would[bound].add(would[bound])
        return found

    def _moved(self, job: RecordedJob, span: RungRange, found: Comparison) -> dict[Bound, Figures]:
        """Return the expected figures of one job, and note the records and assumptions behind them."""
        courses = self._courses(job.task, span, self._plan.climbs if job.climbs is None else job.climbs)
        models = {rung: self._plan.models[rung] for course in courses.values() for rung in course.visits}
        costs = {rung: self._visit_usd(job, model) for rung, model in models.items()}
        for rung in courses["expected"].visits:
            found.records[job.task, models[rung]] = self._record(job.task, models[rung])
            if doubt := self._doubt(job.task, models[rung]):
                found.assumed[doubt] += 1
            if costs[rung] is None:
                because = "no_price" if job.call and job.call.usage else "no_usage"
                found.assumed[Assumption(because, models[rung], job.task)] += 1
        return {bound: _expected(course, costs) for bound, course in courses.items()}

    def _find_courses(self, task: str | None, span: RungRange, climbs: frozenset[str]) -> dict[Bound, Expected]:
        records = [self._record(task, self._nearest(task, model) or model) for model in self._plan.models]
        return {bound: expect(records, span, climbs, bound) for bound in BOUNDS}

    def _find_doubt(self, task: str | None, model: str) -> Assumption | None:
        judged, nearest = self._record(task, model).judged, self._nearest(task, model)
        if judged:
            return Assumption("few", model, task) if judged < LEAST else None
        return Assumption("never_asked" if nearest else "nobody_asked", model, task, nearest or "")

    def _record(self, task: str | None, model: str) -> StartRecord:
        return self._records.get((task or "", model), StartRecord())

    def _nearest(self, task: str | None, model: str) -> str | None:
        """Return the model nearest to `model` in the chain that was asked at a kind. Returns None if there is none."""
        place = self._models.index(model)
        asked = [each for each in self._models if self._record(task, each).judged]
        return min(asked, key=lambda each: abs(self._models.index(each) - place), default=None)

    def _visit_usd(self, job: RecordedJob, model: str) -> Decimal | None:
        """Return the cost of a job's call on a model. Returns None if unknown.

        A model that the job asked costs the same again. If v_starts has the costs of both models, they compare as
        there. Else the job's tokens are priced at the model's own rates.
        """
        call, measured = job.call, self._mean_usd(job.task, model)
        if call is None or call.usage is None:
            return measured
        if call.cost_usd is not None:
            if call.model == model:
                return call.cost_usd
            own = self._mean_usd(job.task, call.model)
            if measured is not None and own:
                return call.cost_usd * measured / own
        usage = call.usage
        price = self._prices.price(model, at=call.at, **usage.tier)
        return None if price is None else parts_usd(usage, price).total

    def _mean_usd(self, task: str | None, model: str) -> Decimal | None:
        record = self._record(task, model)
        return record.mean_cost_usd if record.judged >= LEAST else None


def _happened(job: RecordedJob) -> Figures:
    depths = {job.fallback_depth: _ONE} if job.is_answered else {}
    return Figures(
        jobs=1,
        attempts=Decimal(job.attempts),
        cost_usd=job.cost_usd,
        unknown_costs=Decimal(job.unknown_costs),
        depths=defaultdict(Decimal, depths),
    )


def _expected(course: Expected, costs: Mapping[int, Decimal | None]) -> Figures:
    known = {rung: usd for rung in course.visits if (usd := costs[rung]) is not None}
    return Figures(
        jobs=1,
        attempts=sum(course.visits.values(), _ZERO),
        cost_usd=sum((course.visits[rung] * usd for rung, usd in known.items()), _ZERO),
        unknown_costs=sum((chance for rung, chance in course.visits.items() if rung not in known), _ZERO),
        depths=defaultdict(Decimal, course.depths),
    )
