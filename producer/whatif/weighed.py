"""Sorts recorded jobs by what decides their way, so that each kind is weighed once."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from models.chain.replay import UNAVAILABLE, UNFIT, Case, Odds, Seen, Weights, weigh
from models.chain.replay_odds import Bound, Oracle
from models.outcome import Outcome
from models.reports.job_history import Recorded, slot_of
from producer.whatif.routes import Route

WindowOf: TypeAlias = Callable[[str], int | None]
_ABOUT_THE_MOMENT = frozenset({"waited", "reserved", "over_budget", "over_today"})  # a rung was not given up for these
_NO_FIT = frozenset({"unfit", "too_long"})


class Scale:
    """Weighs jobs. `was` is the chain in force, whose rungs the jobs name; `window_of` a model's context in tokens."""

    def __init__(self, oracle: Oracle, was: Sequence[str], window_of: WindowOf) -> None:
        self._oracle, self._was, self._window_of = oracle, was, window_of
        self._by_slot: dict[tuple[object, ...], int] = {}
        self._numbers: dict[tuple[Odds, ...], int] = {}
        self._numbered: list[tuple[Odds, ...]] = []
        self._weights: dict[tuple[object, ...], Weights] = {}

    def weigh(self, job: Recorded, route: Route, bound: Bound = "expected", *, is_blind: bool = False) -> Weights:
        """Tell what to expect of a job on this route; `is_blind`, as if nobody knew what it did."""
        seen = () if is_blind else tuple(Seen(one.model, one.outcome) for one in job.made)
        passed = tuple(sorted(({} if is_blind else self._passed(job)).items() | self._too_long(job, route)))
        start = route.models[route.span.start]
        first = next((one.outcome for one in seen if one.model == start), None)
        # What a job's own answer settles asks for no odds: jobs of all times are then of one kind.
        number = -1 if first == Outcome.ANSWERED else self._number(route.models, job, bound)
        span = (route.span.start, route.span.floor, route.span.ceiling)
        key = (route.models, span, route.climbs, seen, passed, job.is_succeeded, number)
        if key not in self._weights:
            case = Case(
                models=route.models,
                span=route.span,
                climbs=route.climbs,
                odds=self._odds(number, route.models),
                windows=tuple(self._window_of(model) for model in route.models),
                seen=seen,
                passed=dict(passed),
                is_succeeded=job.is_succeeded,
            )
            self._weights[key] = weigh(case)
        return self._weights[key]

    def _number(self, models: tuple[str, ...], job: Recorded, bound: Bound) -> int:
        slot = began_in(job)
        key = (models, job.task, slot, bound)
        if key not in self._by_slot:
            odds = tuple(self._oracle.odds(model, job.task, slot, bound) for model in models)
            number = self._by_slot[key] = self._numbers.setdefault(odds, len(self._numbers))
            self._numbered[number:] = self._numbered[number:] or [odds]
        return self._by_slot[key]

    def _odds(self, number: int, models: tuple[str, ...]) -> tuple[Odds, ...]:
        return (Odds(),) * len(models) if number < 0 else self._numbered[number]

    def _passed(self, job: Recorded) -> dict[str, str]:
        asked = {one.rung for one in job.made}
        # A job forgets why it left a rung when it comes back; that it did is seen by where it went.
        left = {rung: UNAVAILABLE for rung in range(job.span.start, max(asked, default=0)) if rung not in asked}
        return {
            self._was[rung]: UNFIT if why in _NO_FIT else UNAVAILABLE
            for rung, why in {**left, **job.passed}.items()
            if why not in _ABOUT_THE_MOMENT and rung < len(self._was)
        }

    def _too_long(self, job: Recorded, route: Route) -> set[tuple[str, str]]:
        longest = max((one.usage.prompt_tokens for one in job.made if one.usage is not None), default=0)
        asked = {one.model for one in job.made}
        windows = ((model, self._window_of(model)) for model in route.models if model not in asked)
        return {(model, UNFIT) for model, window in windows if window is not None and longest > window}


def began_in(job: Recorded) -> int:
    """Give the number of the ten minutes in which a job was first tried."""
    return slot_of(job.made[0].opened_at if job.made else job.created_at)
