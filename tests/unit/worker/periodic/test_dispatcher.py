"""The clock's tick: whose turn it is, how much room there is, and what goes first."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Event as Flag
from typing import Any

import pytest

from models.errors import BrokerError, LedgerError
from models.job.map_reduce import ReleasedSteps
from models.job.values import Unsent
from models.ledger.outbox import Outbox
from models.queue.broker import Broker
from models.queue.fair_share import FairShare
from models.queue.queue_window import Due, QueueWindow
from models.queue.redis_keys import Lane
from tests.support.ledgers.memory_ledger import MemorySteps
from worker.events import Event, JobsLate, JobsSent, MessagesLost, StepsReleased, TimerFailed
from worker.periodic.dispatcher import Dispatcher
from worker.periodic.timer import run_every


@dataclass(slots=True)
class MemoryQueues(Broker):
    """Queues in memory. Whoever's name is in `turn` has the turn; `reported` are the turns asked for."""

    depths: dict[Lane, int] = field(default_factory=dict)
    windows: dict[int, QueueWindow] = field(default_factory=dict)
    turn: str = "us"
    reported: list[tuple[str, float]] = field(default_factory=list)
    sent: list[Unsent] = field(default_factory=list)
    away: Exception | None = None
    is_emptied: bool = False

    def try_lead(self, holder: str, *, for_s: float) -> bool:
        self.reported.append((holder, for_s))
        if self.away is not None:
            raise self.away
        return holder == self.turn

    def was_flushed(self) -> bool:
        was, self.is_emptied = self.is_emptied, False
        return was

    def depth(self, lane: Lane) -> int:
        return self.depths.get(lane, 0)

    def queue_window(self, rung: int) -> QueueWindow:
        return self.windows.get(rung, QueueWindow())

    def keep_window(self, rung: int, window: QueueWindow) -> None:
        self.windows[rung] = window

    def send(self, jobs: Sequence[Unsent]) -> None:
        self.sent.extend(jobs)
        for job in jobs:
            if not job.is_urgent:
                queue_window = self.windows[job.rung]
                self.windows[job.rung] = replace(queue_window, level=queue_window.level + 1)


@dataclass(slots=True)
class MemoryOutbox(Outbox):
    """Jobs without a message, by rung; it looks into the queues to see that sending comes before marking."""

    jobs: dict[int, list[Unsent]] = field(default_factory=dict)
    queues: MemoryQueues | None = None
    marked: list[Unsent] = field(default_factory=list)
    in_haste: list[Unsent] = field(default_factory=list)
    woken: list[tuple[int, int]] = field(default_factory=list)
    dues: dict[int, Due] = field(default_factory=dict)
    lost: dict[Lane, int] = field(default_factory=dict)
    fitted: list[int] = field(default_factory=list)
    asked_for_lost: list[tuple[Lane, float]] = field(default_factory=list)

    def fit_to_chain(self, *, rungs: int) -> int:
        self.fitted.append(rungs)
        return 0

    def forget_lost(self, lane: Lane, *, older_than_s: float) -> int:
        self.asked_for_lost.append((lane, older_than_s))
        return self.lost.pop(lane, 0)

    def wake(self, rung: int, *, limit: int) -> int:
        self.woken.append((rung, limit))
        return limit

    def due(self, rung: int, *, limit: int) -> Due:
        found = self.dues.get(rung, Due(jobs=0, late_s=0))
        return replace(found, jobs=min(found.jobs, limit))

    def urgent(self, *, limit: int) -> list[Unsent]:
        return self.in_haste[:limit]

    def unsent(self, rung: int, *, limit: int, shares: FairShare | None = None) -> list[Unsent]:
        assert limit > 0
        assert shares is not None
        shares.passes["a batch"] = shares.passes.get("a batch", 0.0) + 1
        return self.jobs.get(rung, [])[:limit]

    def mark_sent(self, jobs: Sequence[Unsent]) -> None:
        assert self.queues is None or set(jobs) <= set(self.queues.sent), "it is sent first"
        self.marked.extend(jobs)


def _jobs(rung: int, count: int) -> list[Unsent]:
    return [Unsent(id=f"job-{rung}-{number}", rung=rung) for number in range(count)]


def _clock(queues: MemoryQueues, outbox: MemoryOutbox, events: list[Event], **changes: Any) -> Dispatcher:
    rungs = changes.get("rungs", 3)
    usual = {"holder": "us", "rungs": rungs, "window": 5, "tick_s": 1.0, "live_s": 900.0, "clock": lambda: 0.0}
    given: dict[str, Any] = {"free": lambda: (1000,) * rungs, "steps": MemorySteps()} | usual | changes
    return Dispatcher(queues=queues, outbox=outbox, **({"report": events.append} | given))


def test_a_tick_sends_what_has_no_message_and_notes_it() -> None:
    queues, events = MemoryQueues(), list[Event]()
    outbox = MemoryOutbox({0: _jobs(0, 2), 2: _jobs(2, 1)}, queues)
    assert _clock(queues, outbox, events).tick() == 3
    assert queues.sent == outbox.marked == [*_jobs(0, 2), *_jobs(2, 1)]
    assert events == [JobsSent(lane=0, count=2), JobsSent(lane=2, count=1)]


def test_each_tick_brings_jobs_of_a_longer_chain_to_a_queue_that_is_heard() -> None:
    outbox = MemoryOutbox()
    _clock(MemoryQueues(), outbox, [], rungs=2).tick()
    assert outbox.fitted == [2]


def test_steps_whose_parts_have_ended_go_on_before_anything_is_sent() -> None:
    steps, events = MemorySteps(ReleasedSteps(asked=2, stopped=1)), list[Event]()
    clock = _clock(MemoryQueues(), MemoryOutbox({0: _jobs(0, 2)}), events, steps=steps)
    clock.tick()
    assert events == [StepsReleased(asked=2, stopped=1), JobsSent(lane=0, count=2)]


def test_a_mistake_about_steps_keeps_nobody_elses_jobs_from_being_sent() -> None:
    queues = MemoryQueues()
    clock = _clock(queues, MemoryOutbox({0: _jobs(0, 2)}), [], steps=MemorySteps(away=LedgerError("no such step")))
    with pytest.raises(LedgerError, match="no such step"):
        clock.tick()
    assert queues.sent == _jobs(0, 2)


def test_when_it_is_somebody_elses_turn_nothing_is_done() -> None:
    queues, outbox, steps = MemoryQueues(turn="them"), MemoryOutbox({0: _jobs(0, 2)}), MemorySteps()
    assert _clock(queues, outbox, [], steps=steps).tick() == 0
    assert (queues.sent, outbox.marked, steps.looks) == ([], [], 0)


def test_a_turn_lapses_before_the_next_tick() -> None:
    queues = MemoryQueues()
    _clock(queues, MemoryOutbox(), [], tick_s=10.0).tick()
    assert queues.reported == [("us", 9.0)]


@pytest.mark.parametrize(("depth", "sent"), [(0, 5), (3, 2), (5, 0), (9, 0)])
def test_a_queue_is_topped_up_to_its_window_and_the_first_in_line_go_first(depth: int, sent: int) -> None:
    queues, outbox = MemoryQueues({1: depth}), MemoryOutbox({1: _jobs(1, 8)})
    assert _clock(queues, outbox, []).tick() == sent
    assert queues.sent == _jobs(1, 8)[:sent]


def test_with_nothing_to_send_nothing_is_told() -> None:
    queues, outbox, events = MemoryQueues(), MemoryOutbox(), list[Event]()
    assert _clock(queues, outbox, events).tick() == 0
    assert (events, outbox.marked) == ([], [])


@pytest.mark.parametrize("away", [BrokerError("Redis is away"), LedgerError("the ledger is away")])
def test_a_broker_or_a_ledger_that_is_away_is_asked_again(away: Exception) -> None:
    queues, outbox = MemoryQueues(away=away), MemoryOutbox({0: _jobs(0, 1)})
    reported, enough, sent = list[Event](), Flag(), Flag()

    def report(event: Event) -> None:
        reported.append(event)
        if isinstance(event, JobsSent):
            sent.set()
        elif len(reported) == 3:
            queues.away = None
            enough.set()

    clock = _clock(queues, outbox, [], rungs=1, tick_s=0.001, report=report)
    stop = run_every(clock.tick_s, clock.tick, name="dispatcher", report=report)
    assert enough.wait(10)
    assert sent.wait(10)
    stop()
    assert reported[:3] == [TimerFailed(name="dispatcher", message=str(away))] * 3


def test_a_mistake_of_ours_stops_no_clock() -> None:
    reported, enough = list[Event](), Flag()

    def report(event: Event) -> None:
        reported.append(event)
        if len(reported) == 2:
            enough.set()

    stop = run_every(0.001, lambda: os.environ["NOT_SET"], name="rescuer", report=report)
    assert enough.wait(10)
    stop()
    assert reported[0] == TimerFailed(name="rescuer", message="a mistake of ours: KeyError: 'NOT_SET'")


def test_what_an_empty_queue_should_hold_is_sent_again() -> None:
    queues, outbox, events = MemoryQueues({1: 2}), MemoryOutbox(lost={0: 7, 1: 3}), list[Event]()
    _clock(queues, outbox, events).tick()
    assert events == [MessagesLost(lane=0, count=7)]
    assert [lane for lane, _ in outbox.asked_for_lost] == [None, 0, 2], (
        "a queue that holds messages has lost none, or is not through yet"
    )


def test_lost_messages_are_looked_for_every_few_seconds_only() -> None:
    times = iter((0.0, 0.0, 1.0, 1.0, 4.9, 4.9, 5.0, 5.0, 6.0, 6.0))
    outbox = MemoryOutbox()
    clock = _clock(MemoryQueues(), outbox, [], rungs=1, clock=lambda: next(times))
    for _ in range(5):
        clock.tick()
    assert [lane for lane, _ in outbox.asked_for_lost] == [None, 0, None, 0]


def test_a_redis_that_was_emptied_is_filled_again_at_once() -> None:
    queues, outbox, events = MemoryQueues({0: 1}, is_emptied=True), MemoryOutbox(lost={0: 7, 2: 1}), list[Event]()
    clock = _clock(queues, outbox, events)
    clock.tick()
    assert events == [MessagesLost(lane=0, count=7), MessagesLost(lane=2, count=1)]
    assert outbox.asked_for_lost[:4] == [(None, 0), (0, 0), (1, 0), (2, 0)]
    clock.tick()
    assert (0, 0) not in outbox.asked_for_lost[4:]


def test_urgent_jobs_go_first_and_in_full_whatever_room_there_is() -> None:
    hasty = [Unsent(id=f"hasty-{number}", rung=2, is_urgent=True) for number in range(9)]
    queues, events = MemoryQueues({0: 5, None: 700}), list[Event]()
    outbox = MemoryOutbox({0: _jobs(0, 8), 1: _jobs(1, 1)}, queues, in_haste=hasty)
    assert _clock(queues, outbox, events, free=lambda: (0, 1, 0)).tick() == 10
    assert queues.sent == outbox.marked == [*hasty, *_jobs(1, 1)]
    assert events[0] == JobsSent(lane=None, count=9)


@pytest.mark.parametrize(("depth", "free", "sent"), [(0, 3, 3), (2, 3, 1), (3, 3, 0), (0, 0, 0)])
def test_a_queue_holds_no_more_than_could_leave(depth: int, free: int, sent: int) -> None:
    queues = MemoryQueues({1: depth})
    assert _clock(queues, MemoryOutbox({1: _jobs(1, 8)}), [], free=lambda: (0, free, 0)).tick() == sent


def test_a_queue_that_is_found_empty_after_it_was_filled_is_filled_deeper_up_to_the_most() -> None:
    queues, outbox = MemoryQueues(), MemoryOutbox({0: _jobs(0, 5000)})
    clock = _clock(queues, outbox, [], window=1000, free=lambda: (5000, 0, 0))
    assert [clock.tick() for _ in range(4)] == [100, 400, 1000, 1000]


def test_a_queue_that_is_slow_to_empty_is_filled_less_and_less_deep() -> None:
    queues, outbox = MemoryQueues(), MemoryOutbox({0: _jobs(0, 5000)})
    clock = _clock(queues, outbox, [], window=1000)
    clock.tick()
    for _ in range(30):  # it begins four in each tick
        queues.depths[0] = max(0, queues.windows[0].level - 4)
        clock.tick()
    assert queues.windows[0].window == pytest.approx(12, abs=3)
    assert queues.windows[0].level <= 16


def test_the_turns_of_batches_go_on_from_one_clock_to_the_next() -> None:
    queues, outbox = MemoryQueues(), MemoryOutbox({0: _jobs(0, 1)})
    for holder in ("us", "them"):
        queues.turn = holder
        _clock(queues, outbox, [], holder=holder).tick()
    assert queues.windows[0].passes == {"a batch": 2.0}


def test_jobs_that_wait_for_a_model_are_made_due_as_soon_as_it_has_room_for_them() -> None:
    queues, outbox = MemoryQueues({0: 5, 1: 9}), MemoryOutbox()
    _clock(queues, outbox, [], free=lambda: (7, 9, 4)).tick()
    assert outbox.woken == [(0, 2), (2, 4)]


def test_a_job_that_is_due_is_sent_though_no_model_has_room() -> None:
    queues, outbox = MemoryQueues(), MemoryOutbox({1: _jobs(1, 8)}, dues={1: Due(jobs=3, late_s=0.4)})
    assert _clock(queues, outbox, [], free=lambda: (0, 0, 0)).tick() == 3


def test_jobs_that_are_due_for_long_are_told_of() -> None:
    events, late = list[Event](), Due(jobs=3, late_s=31)
    _clock(MemoryQueues(), MemoryOutbox({1: _jobs(1, 3)}, dues={1: late}), events).tick()
    assert events == [JobsLate(lane=1, count=3, late_s=31), JobsSent(lane=1, count=3)]
