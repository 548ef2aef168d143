"""Objects in memory with the Protocols of the real ones; tests/contracts holds them to the same promises."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from models.job.map_reduce import ReleasedSteps
from models.job.values import Cap, Claim, Closing, Ending, NewJob, Opening, OverCap
from models.ledger.steps import Steps
from models.outcome import FINAL_STATES, Outcome, State


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryJob:
    """A job as the ledger's row has it; times are seconds of the ledger's clock."""

    new: NewJob
    deadline_at: float
    state: State = State.QUEUED
    rung: int
    given_up: dict[int, str] = field(default_factory=dict)
    rounds: int = 0
    token: int = 0
    due_at: float | None = None
    ending: Ending | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAttempt:
    """An attempt as the ledger's row has it; `closing` is None while it is open."""

    job_id: str
    opening: Opening
    closing: Closing | None = None


class MemoryLedger:
    """The ledger, as the worker sees it. `clock` tells seconds; jobs and attempts are there to be looked at."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self._clock = clock
        self.jobs: dict[str, MemoryJob] = {}
        self.attempts: dict[str, MemoryAttempt] = {}
        self.unsent: list[str] = []
        self.caps: dict[str, Decimal] = {}  # of scopes whose caps are the ledger's own

    def add(self, job: NewJob, *, deadline_s: float = 86_400) -> None:
        """Accept a job."""
        self.jobs[job.id] = MemoryJob(new=job, rung=job.span.start, deadline_at=self._clock() + deadline_s)

    def cancel(self, job_id: str) -> None:
        """Cancel a job that has not ended."""
        if self.jobs[job_id].state not in FINAL_STATES:
            self.jobs[job_id] = replace(self.jobs[job_id], state=State.CANCELLED)

    def unsend(self, job_id: str) -> None:
        """Note that its message was not heeded."""
        self.unsent.append(job_id)

    def pause(self, batch_id: str, *, because: str) -> int:  # noqa: ARG002 - no job here is of a batch
        """Hold what a batch has not begun."""
        return 0

    def renew(self, claims: Iterable[Claim], *, lease_s: float) -> None:
        """Nothing here ends a lease."""

    def attempts_of(self, job_id: str) -> list[MemoryAttempt]:
        """List a job's attempts, the first one first."""
        return [attempt for attempt in self.attempts.values() if attempt.job_id == job_id]

    def claim(self, job_id: str, *, lease_s: float) -> Claim | None:  # noqa: ARG002 - nobody else can take it here
        """Take a job that is queued or due."""
        job = self.jobs.get(job_id)
        if job is None or not self._is_free(job):
            return None
        job = self.jobs[job_id] = replace(job, state=State.RUNNING, token=job.token + 1, due_at=None)
        return Claim(
            job_id=job_id,
            batch_id=None,
            prompt_id=job.new.prompt_id,
            task=job.new.task,
            token=job.token,
            params=job.new.params,
            span=job.new.span,
            rung=job.rung,
            given_up=job.given_up,
            rounds=job.rounds,
            attempt_count=len(self.attempts_of(job_id)),
            deadline_s=job.deadline_at - self._clock(),
            has_cap="batch:None" in self.caps,
            is_urgent=job.new.is_urgent,
            patience_s=job.new.patience_s,
            climb_on=job.new.climb_on,
            expects=job.new.expects,
            prefix=job.new.prefix,
            raised_max_tokens=None if job.ending is None else job.ending.raised_max_tokens,
        )

    def _is_free(self, job: MemoryJob) -> bool:
        is_due = job.due_at is not None and job.due_at <= self._clock()
        return job.state is State.QUEUED or (job.state is State.WAITING and is_due)

    def open_attempt(self, claim: Claim, opening: Opening) -> bool | OverCap:
        """Write an attempt down while the job is still the claim's, and it fits under every cap."""
        if not self._is_ours(claim):
            return False
        for cap in opening.caps:
            if (over := self._over(cap, opening)) is not None:
                return over
        self.attempts[opening.id] = MemoryAttempt(job_id=claim.job_id, opening=opening)
        return True

    def over_cap(self, opening: Opening) -> OverCap | None:
        """Tell a cap that has no room for an attempt, even without those in flight."""
        found = (self._over(cap, opening) for cap in opening.caps)
        return next((over for over in found if over is not None and not over.may_fit_later), None)

    def _over(self, cap: Cap, opening: Opening) -> OverCap | None:
        gone = reserved = Decimal(0)
        for attempt in self.attempts.values():
            if cap.scope in {held.scope for held in attempt.opening.caps}:
                worst = attempt.opening.worst_case_usd or Decimal(0)
                if attempt.closing is None:
                    reserved += worst
                else:
                    gone += worst if attempt.closing.cost_usd is None else attempt.closing.cost_usd
        most, needs = cap.cap_usd or self.caps[cap.scope], opening.worst_case_usd or Decimal(0)
        over = OverCap(cap=cap, cap_usd=most, gone_usd=gone, reserved_usd=reserved, needs_usd=needs)
        return over if gone + reserved + needs > most else None

    def close_attempt(self, _claim: Claim, closing: Closing) -> None:
        """Write how an attempt ended; what was written once stays."""
        attempt = self.attempts[closing.attempt_id]
        if attempt.closing is None:
            self.attempts[closing.attempt_id] = replace(attempt, closing=closing)

    def finish(self, claim: Claim, ending: Ending, closing: Closing | None) -> Ending | None:
        """Close the attempt and move the job on; late where the job is no longer the claim's."""
        is_ours = self._is_still_ours(claim)
        if is_ours:
            self.jobs[claim.job_id] = self._ended(self.jobs[claim.job_id], ending)
        if closing is not None:
            self.close_attempt(claim, closing if is_ours else replace(closing, outcome=Outcome.LATE))
        return ending if is_ours else None

    def _ended(self, job: MemoryJob, ending: Ending) -> MemoryJob:
        return replace(
            job,
            state=ending.state,
            rung=ending.rung,
            given_up=dict(ending.given_up),
            rounds=ending.rounds,
            due_at=None if ending.due_in_s is None else self._clock() + ending.due_in_s,
            ending=ending,
        )

    def _is_ours(self, claim: Claim) -> bool:
        job = self.jobs.get(claim.job_id)
        return job is not None and job.state is State.RUNNING and job.token == claim.token

    def _is_still_ours(self, claim: Claim) -> bool:
        job = self.jobs.get(claim.job_id)
        return job is not None and job.state not in FINAL_STATES and job.token == claim.token


@dataclass(slots=True)
class MemorySteps(Steps):
    """As many steps are ripe as we say, at the next look."""

    next: ReleasedSteps = ReleasedSteps(asked=0, stopped=0)  # noqa: RUF009 - frozen
    looks: int = 0
    away: Exception | None = None

    def release_ready_steps(self, *, limit: int, live_s: float) -> ReleasedSteps:
        """Tell it once."""
        assert min(limit, live_s) > 0
        self.looks += 1
        if self.away is not None:
            raise self.away
        reported, self.next = self.next, ReleasedSteps(asked=0, stopped=0)
        return reported
