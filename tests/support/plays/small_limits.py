"""A whole site on a clock of its own: real dispatcher, walk and admission script before the simulator's buckets.

Ledger and queues are in memory. One worker takes one job at a time, so a call moves the clock by its latency.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from models.chain.chain import Chain, RungRange
from models.job.values import NewJob, Unsent
from models.ledger.outbox import Outbox
from models.outcome import FINAL_STATES, State
from models.queue.broker import Broker
from models.queue.fair_share import FairShare
from models.queue.queue_window import Due, QueueWindow
from models.queue.redis_keys import Lane
from producer.simulator.account.buckets import Limits, RateLimits
from tests.support.ledgers.memory_ledger import MemoryJob, MemoryLedger, MemorySteps
from tests.support.plays.admission_scripts import PREFIX
from tests.support.plays.awaited import finished
from tests.support.plays.walk_scene import A_DAY_S, HandClock, message, received, scene
from worker.admission.capacity import free_requests
from worker.admission.in_process import InProcessRedis
from worker.admission.lua_script import LuaScript, Tuning
from worker.fallback.decision import WAITED, WOKEN
from worker.fallback.walk import walk
from worker.periodic.dispatcher import Dispatcher
from worker.provider.reply import Received

_LATENCY_S = 1.0
_WAITS = {
    "circuit_open",
    "limited",
    "full",
    "rate_limited",
    "ramp_limited",
    "overloaded",
    "server_error",
    "unreachable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One prompt in tokens: its own, of five characters each, its answer's, and max_tokens."""

    reads: int
    writes: int
    max_tokens: int


@dataclass(slots=True, kw_only=True)
class LimitedApi:
    """Answers a call as the API does under limits of a minute; `calls` holds the model and status of each."""

    clock: HandClock
    chain: Chain
    buckets: RateLimits
    calls: list[tuple[str, int]] = field(default_factory=list)
    refills_s: float = 0.0  # the time in which full buckets come again after all answers, one by one

    def call(self, model: str, params: Mapping[str, Any], **_reported: Any) -> Received:
        """Take the tokens of a request, or refuse it with 429, its limits and a retry-after."""
        group, text = self.chain.group_of(model), params["messages"][0]["content"]
        reads, writes = len(text) // 5, min(int(text.split()[0]), params["max_tokens"])
        admission = self.buckets.admit(group, reads, self.clock.now_s)
        self.calls.append((model, 429 if admission.wait_s is not None else 200))
        headers = self._headers(group)
        if admission.wait_s is not None:
            reported = {"type": "rate_limit_error", "message": admission.message.format(model=model)}
            body = {"type": "error", "error": reported}
            return _with(received(body, status=429), headers | {"retry-after": str(admission.wait_s)})
        self.clock.now_s += _LATENCY_S
        self.buckets.charge_output(group, writes)
        # A minute fills each bucket, after a minute of patience; an answer may draw an output bucket below zero.
        self.refills_s += 120 + 60 * writes / (self.buckets.limits[group].output_tokens_per_minute or math.inf)
        usage = {"input_tokens": reads, "output_tokens": writes, "service_tier": "standard"}
        return _with(received(message(model, usage=usage)), headers)

    def served(self, _rung: str, model: str) -> str:
        """Take the reply's word."""
        return model

    def _headers(self, group: str) -> dict[str, str]:
        rows = self.buckets.headers(group, self.clock.now_s)
        return {
            f"anthropic-ratelimit-{kind}-{word}": str(figure)
            for kind, limit, remaining, _ in rows
            for word, figure in (("limit", limit), ("remaining", remaining))
        }


@dataclass(slots=True, kw_only=True)
class Site(Broker, Outbox):
    """Queues and outbox over a ledger in memory, as the dispatcher sees them."""

    clock: HandClock
    ledger: MemoryLedger
    messages: deque[str] = field(default_factory=deque)
    sent: set[str] = field(default_factory=set)
    windows: dict[int, QueueWindow] = field(default_factory=dict)

    @property
    def open_jobs(self) -> list[tuple[str, MemoryJob]]:
        """List the jobs that have not ended."""
        return [(job_id, job) for job_id, job in self.ledger.jobs.items() if job.state not in FINAL_STATES]

    def try_lead(self, holder: str, *, for_s: float) -> bool:  # noqa: ARG002 - as its base
        """Have one dispatcher only."""
        return True

    def was_flushed(self) -> bool:
        """Lose nothing."""
        return False

    def depth(self, lane: Lane) -> int:
        """Count the messages of a queue."""
        return sum(self.ledger.jobs[job_id].rung == lane for job_id in self.messages)

    def queue_window(self, rung: int) -> QueueWindow:
        """Return the pace that was kept."""
        return self.windows.get(rung, QueueWindow())

    def keep_window(self, rung: int, window: QueueWindow) -> None:
        """Keep a pace."""
        self.windows[rung] = window

    def send(self, jobs: Sequence[Unsent]) -> None:
        """Publish a message for each job."""
        self.messages.extend(job.id for job in jobs)

    def mark_sent(self, jobs: Sequence[Unsent]) -> None:
        """Record the messages."""
        self.sent.update(job.id for job in jobs)

    def urgent(self, *, limit: int) -> list[Unsent]:  # noqa: ARG002 - as its base
        """Have no urgent jobs."""
        return []

    def fit_to_chain(self, *, rungs: int) -> int:  # noqa: ARG002 - as its base
        """Have one chain only."""
        return 0

    def forget_lost(self, lane: Lane, *, older_than_s: float) -> int:  # noqa: ARG002 - as its base
        """Lose nothing."""
        return 0

    def unsent(self, rung: int, *, limit: int, shares: FairShare | None = None) -> list[Unsent]:  # noqa: ARG002 - the outbox's
        """List the jobs of a rung that are queued or due, the due ones first."""
        waiting = [one for one in self._unsent(rung) if one[1].state is State.WAITING]
        due = sorted((job.due_at or 0, job_id) for job_id, job in waiting if self._is_due(job))
        queued = [job_id for job_id, job in self._unsent(rung) if job.state is State.QUEUED]
        return [Unsent(id=job_id, rung=rung) for job_id in [*(job_id for _, job_id in due), *queued][:limit]]

    def due(self, rung: int, *, limit: int) -> Due:
        """Count the waiting jobs of a rung that are due."""
        dues = [job.due_at or 0 for _, job in self._unsent(rung) if job.state is State.WAITING and self._is_due(job)]
        return Due(jobs=min(limit, len(dues)), late_s=self.clock.now_s - min(dues, default=self.clock.now_s))

    def wake(self, rung: int, *, limit: int) -> int:
        """Make waiting jobs due by the outbox's rule."""
        found = [
            (job_id, job)
            for job_id, job in self.open_jobs
            if job.state is State.WAITING
            and job.ending is not None
            and job.ending.outcome in _WAITS
            and (job.due_at or 0) > self.clock.now_s + 2
            and (job.rung == rung or (not job.given_up and job.ending.outcome != "full"))
        ][:limit]
        for job_id, job in found:
            given_up = {left: WOKEN if reason == WAITED else reason for left, reason in job.given_up.items()}
            self.ledger.jobs[job_id] = replace(job, due_at=self.clock.now_s, given_up=given_up)
        return len(found)

    def _unsent(self, rung: int) -> list[tuple[str, MemoryJob]]:
        return [(job_id, job) for job_id, job in self.open_jobs if job.rung == rung and job_id not in self.sent]

    def _is_due(self, job: MemoryJob) -> bool:
        return job.due_at is not None and job.due_at <= self.clock.now_s


@dataclass(slots=True, kw_only=True)
class Play:
    """A batch before small limits: `tick` lets a second pass, and the worker take what was sent."""

    site: Site
    api: LimitedApi
    dispatcher: Dispatcher
    worker: Any
    looked_at_s: float = 0.0  # when the dispatcher acted last; the one worker then takes a second for each call

    def tick(self) -> None:
        """Let the dispatcher act, and walk each job that it sent."""
        self.site.clock.now_s += 1
        self.looked_at_s = self.site.clock.now_s
        self.dispatcher.tick()
        while self.site.messages:
            job_id = self.site.messages.popleft()
            self.site.sent.discard(job_id)
            if (claim := self.site.ledger.claim(job_id, lease_s=60)) is not None:
                finished(walk(claim, self.worker, time_left_s=A_DAY_S))


def play(tasks: Sequence[Task], limits: Sequence[Limits], models: tuple[str, ...]) -> Play:
    """Set the stage: one limit for the group of each model."""
    clock, chain = HandClock(), Chain(models=models)
    groups = {chain.group_of(model): limit for model, limit in zip(models, limits, strict=True)}
    api = LimitedApi(clock=clock, chain=chain, buckets=RateLimits(groups, clock.now_s))
    admission = LuaScript(
        InProcessRedis(PREFIX).run, Tuning(probe_every_s=5, key_pause_s=60), now=lambda: 1_000_000 + clock.now_s
    )
    ledger = MemoryLedger(clock)
    setting = scene(chain=models, clock=clock, ledger=ledger, provider=api, admission=admission, sleep=_sleeps(clock))
    ledger.jobs.clear()
    for number, task in enumerate(tasks):
        ledger.add(_job(number, task, len(models)))
    site = Site(clock=clock, ledger=ledger)
    dispatcher = Dispatcher(
        queues=site,
        outbox=site,
        steps=MemorySteps(),
        free=partial(free_requests, chain, admission.capacity),
        holder="us",
        rungs=len(models),
        window=2000,
        tick_s=1,
        live_s=900,
        clock=clock,
        report=setting.events.append,
    )
    return Play(site=site, api=api, dispatcher=dispatcher, worker=setting.worker)


def _sleeps(clock: HandClock) -> Any:
    def sleep(seconds: float) -> None:
        clock.now_s += seconds

    return sleep


def _job(number: int, task: Task, rungs: int) -> NewJob:
    text = (f"{task.writes} " + "word " * task.reads)[: max(task.reads * 5, 8)]
    params = {"max_tokens": task.max_tokens, "messages": [{"role": "user", "content": text}]}
    span = RungRange(start=0, floor=rungs - 1, ceiling=0)
    return NewJob(id=f"job-{number}", seq=number + 1, prompt_id=str(number), task=None, params=params, span=span)


def _with(reply: Received, headers: Mapping[str, str]) -> Received:
    return replace(reply, headers={**reply.headers, **headers})
