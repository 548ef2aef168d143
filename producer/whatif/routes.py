"""Where a recorded job may go: in the chain as it was, and in the one that is asked about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from models.chain.chain import Span
from models.reports.job_history import Recorded

ANY_TASK = "*"  # in --starts: every task that is not named there, and jobs without one


class Route(NamedTuple):
    """The rungs one job may use, and which poor replies have it climb; `gone` are its bounds that this chain lacks."""

    models: tuple[str, ...]
    span: Span
    climbs: frozenset[str]
    gone: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The chain that is asked about, and `was`, the one in force; `climbs` where a job names none itself."""

    models: tuple[str, ...]
    starts: Mapping[str, int] = field(default_factory=dict)
    climbs: frozenset[str]
    was: tuple[str, ...]

    def would(self, job: Recorded) -> Route:
        """Map a job's start and bounds, which count the rungs of its time, by their models."""
        gone: list[tuple[str, str]] = []
        last = len(self.models) - 1
        floor = last if job.span.floor >= len(self.was) - 1 else self._mapped("floor_gone", job.span.floor, last, gone)
        ceiling = 0 if job.span.ceiling <= 0 else self._mapped("ceiling_gone", job.span.ceiling, 0, gone)
        start = self.starts.get(job.task or ANY_TASK, self.starts.get(ANY_TASK, 0))
        if job.is_own_start and job.start_model in self.models:
            start = self.models.index(job.start_model)
        elif job.is_own_start:
            gone.append(("start_gone", job.start_model or "?"))
        # A chain in another order may turn a job's bounds around: what it accepts at least counts.
        ceiling = min(ceiling, floor)
        span = Span(start=min(max(start, ceiling), floor), floor=floor, ceiling=ceiling)
        return Route(self.models, span, self._climbs(job), tuple(gone))

    def as_it_was(self, job: Recorded) -> Route:
        """Give the chain a job went down: that of the days, but for rungs where it asked another model itself."""
        models = _patched(self.was, job)
        return Route(models, job.span.clamped(len(models)), self._climbs(job))

    def _mapped(self, kind: str, rung: int, otherwise: int, gone: list[tuple[str, str]]) -> int:
        model = self.was[min(rung, len(self.was) - 1)]
        if model in self.models:
            return self.models.index(model)
        gone.append((kind, model))
        return otherwise

    def _climbs(self, job: Recorded) -> frozenset[str]:
        return self.climbs if job.climbs is None else job.climbs


def _patched(was: Sequence[str], job: Recorded) -> tuple[str, ...]:
    own = {one.rung: one.model for one in job.made}
    if job.start_model is not None:
        own.setdefault(job.span.start, job.start_model)
    if all(rung < len(was) and was[rung] == model for rung, model in own.items()):
        return tuple(was)
    return tuple(own.get(rung) or was[min(rung, len(was) - 1)] for rung in range(max(len(was), max(own) + 1)))
