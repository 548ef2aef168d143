"""The clock's tick: whose turn it is, how much room there is, and what goes first."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import Any

import pytest

from models.errors import BrokerError, LedgerError
from models.life import Unsent
from worker.clock import Clock
from worker.events import ClockFailed, Event, JobsSent, MessagesLost
from worker.every import every


@dataclass(slots=True)
class MemoryQueues:
    """Queues in memory. Whoever's name is in `turn` has the turn; `told` are the turns asked for."""

    depths: dict[int, int] = field(default_factory=dict)
    turn: str = "us"
    told: list[tuple[str, float]] = field(default_factory=list)
    sent: list[Unsent] = field(default_factory=list)
    away: Exception | None = None
    is_emptied: bool = False

    def take_turn(self, holder: str, *, for_s: float) -> bool:
        self.told.append((holder, for_s))
        if self.away is not None:
            raise self.away
        return holder == self.turn

    def has_lost_all(self) -> bool:
        was, self.is_emptied = self.is_emptied, False
        return was

    def depth(self, rung: int) -> int:
        return self.depths.get(rung, 0)

    def send(self, jobs: Sequence[Unsent]) -> None:
        self.sent.extend(jobs)


@dataclass(slots=True)
class MemoryOutbox:
    """Jobs without a message, by rung; it looks into the queues to see that sending comes before marking."""

    jobs: dict[int, list[Unsent]] = field(default_factory=dict)
    queues: MemoryQueues | None = None
    marked: list[Unsent] = field(default_factory=list)
    lost: dict[int, int] = field(default_factory=dict)
    fitted: list[int] = field(default_factory=list)
    asked_for_lost: list[tuple[int, float]] = field(default_factory=list)

    def fit_to_chain(self, *, rungs: int) -> int:
        self.fitted.append(rungs)
        return 0

    def forget_lost(self, rung: int, *, older_than_s: float) -> int:
        self.asked_for_lost.append((rung, older_than_s))
        return self.lost.pop(rung, 0)

    def unsent(self, rung: int, *, limit: int) -> list[Unsent]:
        assert limit > 0
        return self.jobs.get(rung, [])[:limit]

    def mark_sent(self, jobs: Sequence[Unsent]) -> None:
        assert self.queues is None or set(jobs) <= set(self.queues.sent), "it is sent first"
        self.marked.extend(jobs)


def _jobs(rung: int, count: int) -> list[Unsent]:
    return [Unsent(id=f"job-{rung}-{number}", rung=rung) for number in range(count)]


def _clock(queues: MemoryQueues, outbox: MemoryOutbox, events: list[Event], **changes: Any) -> Clock:
    given: dict[str, Any] = {"holder": "us", "rungs": 3, "window": 5, "tick_s": 1.0, "clock": lambda: 0.0} | changes
    return Clock(queues=queues, outbox=outbox, tell=events.append, **given)


def test_a_tick_sends_what_has_no_message_and_notes_it() -> None:
    queues, events = MemoryQueues(), list[Event]()
    outbox = MemoryOutbox({0: _jobs(0, 2), 2: _jobs(2, 1)}, queues)
    assert _clock(queues, outbox, events).tick() == 3
    assert queues.sent == outbox.marked == [*_jobs(0, 2), *_jobs(2, 1)]
    assert events == [JobsSent(rung=0, count=2), JobsSent(rung=2, count=1)]


def test_each_tick_brings_jobs_of_a_longer_chain_to_a_queue_that_is_heard() -> None:
    outbox = MemoryOutbox()
    _clock(MemoryQueues(), outbox, [], rungs=2).tick()
    assert outbox.fitted == [2]


def test_when_it_is_somebody_elses_turn_nothing_is_done() -> None:
    queues, outbox = MemoryQueues(turn="them"), MemoryOutbox({0: _jobs(0, 2)})
    assert _clock(queues, outbox, []).tick() == 0
    assert (queues.sent, outbox.marked) == ([], [])


def test_a_turn_lapses_before_the_next_tick() -> None:
    queues = MemoryQueues()
    _clock(queues, MemoryOutbox(), [], tick_s=10.0).tick()
    assert queues.told == [("us", 9.0)]


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
    told, enough, sent = list[Event](), Flag(), Flag()

    def tell(event: Event) -> None:
        told.append(event)
        if isinstance(event, JobsSent):
            sent.set()
        elif len(told) == 3:
            queues.away = None
            enough.set()

    clock = Clock(
        queues=queues, outbox=outbox, holder="us", rungs=1, window=5, tick_s=0.001, clock=lambda: 0.0, tell=tell
    )
    stop = every(clock.tick_s, clock.tick, name="clock", tell=tell)
    assert enough.wait(10)
    assert sent.wait(10)
    stop()
    assert told[:3] == [ClockFailed(name="clock", said=str(away))] * 3


def test_a_mistake_of_ours_stops_no_clock() -> None:
    told, enough = list[Event](), Flag()

    def tell(event: Event) -> None:
        told.append(event)
        if len(told) == 2:
            enough.set()

    stop = every(0.001, lambda: os.environ["NOT_SET"], name="patrol", tell=tell)
    assert enough.wait(10)
    stop()
    assert told[0] == ClockFailed(name="patrol", said="a mistake of ours: KeyError: 'NOT_SET'")


def test_what_an_empty_queue_should_hold_is_sent_again() -> None:
    queues, outbox, events = MemoryQueues({1: 2}), MemoryOutbox(lost={0: 7, 1: 3}), list[Event]()
    _clock(queues, outbox, events).tick()
    assert events == [MessagesLost(rung=0, count=7)]
    assert [rung for rung, _ in outbox.asked_for_lost] == [0, 2], (
        "a queue that holds messages has lost none, or is not through yet"
    )


def test_lost_messages_are_looked_for_every_few_seconds_only() -> None:
    times = iter((0.0, 1.0, 4.9, 5.0, 6.0))
    outbox = MemoryOutbox()
    clock = _clock(MemoryQueues(), outbox, [], rungs=1, clock=lambda: next(times))
    for _ in range(5):
        clock.tick()
    assert len(outbox.asked_for_lost) == 2


def test_a_redis_that_was_emptied_is_filled_again_at_once() -> None:
    queues, outbox, events = MemoryQueues({0: 1}, is_emptied=True), MemoryOutbox(lost={0: 7, 2: 1}), list[Event]()
    clock = _clock(queues, outbox, events)
    clock.tick()
    assert events == [MessagesLost(rung=0, count=7), MessagesLost(rung=2, count=1)]
    assert outbox.asked_for_lost[:3] == [(0, 0), (1, 0), (2, 0)]
    clock.tick()
    assert (0, 0) not in outbox.asked_for_lost[3:]
