"""Learned starts: each new job of an `auto` task kind starts as the records of v_starts advise."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from sqlalchemy import Engine, func, select

from models.chain.best_start import StartRecord, WeighedStart, explored, picked, weigh
from models.chain.chain import RungRange
from models.database.engine import opened_if_there, reading
from models.job.values import NewJob
from models.reports.job_history import JobHistory
from models.schema.columns import midnight, now
from models.schema.job import Job
from models.settings import Settings

ASKED, LEARNED, EXPLORED = "asked", "learned", "explored"  # the reasons of a start
_KEPT_S = 600.0
_Records = Mapping[tuple[str, str], StartRecord]


class LearnedStarts:
    """Chooses starts; shared by all threads. Records are read anew after ten minutes. Raises LedgerError."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._read: tuple[float, _Records] | None = None

    def starting(self, settings: Settings) -> Callable[[NewJob], NewJob]:
        """Return the function that moves each new job of one batch to the learned start of its kind.

        Jobs of `auto` kinds move, within their floor and ceiling; a few explore another start (`explored`). A job that
        names its own start keeps that start. Without an `auto` kind nothing is read.
        """
        chooser = _Chooser(starts=self, settings=settings, weighed={}, left={})
        return lambda job: chooser.started(job) if is_auto(job, settings) else job

    def weighed(
        self, task: str, span: RungRange, settings: Settings, climbs: Collection[str]
    ) -> tuple[Sequence[StartRecord], tuple[WeighedStart, ...]]:
        """Weigh each rung of a span as the start of a task kind. Returns the records by rung, too."""
        known = self._records()
        records = [known.get((task, model), StartRecord()) for model in settings.chain.models]
        return records, weigh(records, span, climbs)

    def explored_today(self, task: str) -> int:
        """Count the jobs of a kind that have explored since this UTC day began, by the database's clock."""
        with reading(self._engine) as connection:
            since = midnight(now(connection))
            ours = (Job.start_reason == EXPLORED) & (Job.task == task) & (Job.created_at >= since)
            return connection.scalar(select(func.count()).select_from(Job).where(ours)) or 0

    def _records(self) -> _Records:
        at, kept = self._clock(), self._read
        if kept is None or at - kept[0] >= _KEPT_S:
            kept = self._read = (at, JobHistory(self._engine).records())
        return kept[1]


@contextmanager
def starts_there(settings: Settings) -> Iterator[LearnedStarts | None]:
    """Open the ledger for a block, to read learned starts. Yields None if the ledger's file does not exist."""
    with opened_if_there(settings.database_url.get_secret_value()) as engine:
        yield None if engine is None else LearnedStarts(engine)


def is_auto(job: NewJob, settings: Settings) -> bool:
    """Return whether the start of a job is learned."""
    return job.task in settings.chain.autos and job.start_reason != ASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chooser:
    """Starts the jobs of one batch; `left` counts by kind the jobs that may still explore today."""

    starts: LearnedStarts
    settings: Settings
    weighed: dict[tuple[Any, ...], tuple[Sequence[StartRecord], tuple[WeighedStart, ...]]]
    left: dict[str, int]

    def started(self, job: NewJob) -> NewJob:
        task, share = job.task or "", self.settings.explore_share
        climbs = self.settings.climbs if job.climb_on is None else job.climb_on
        named = (task, job.span.floor, job.span.ceiling, climbs)
        if named not in self.weighed:
            self.weighed[named] = self.starts.weighed(task, job.span, self.settings, climbs)
        records, weighed = self.weighed[named]
        learned = picked(weighed)
        start = job.span.start if learned is None else learned
        other = explored(job.id, start, records, job.span, share=share)
        if other is not None and self._may_explore(task):
            return self._moved(job, other, EXPLORED)
        return job if learned is None else self._moved(job, learned, LEARNED)

    def _may_explore(self, task: str) -> bool:
        if task not in self.left:
            self.left[task] = self.settings.explore_per_day - self.starts.explored_today(task)
        self.left[task] -= 1
        return self.left[task] >= 0

    def _moved(self, job: NewJob, rung: int, reason: str) -> NewJob:
        span = replace(job.span, start=rung)
        return replace(job, span=span, start_model=self.settings.chain.models[rung], start_reason=reason)
