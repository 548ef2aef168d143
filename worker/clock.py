"""The clock: sends jobs that are due, and tops the queues up from SQL. One worker's clock acts in each tick."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import Protocol

from models.errors import StepdownError
from models.life import Unsent
from worker.events import ClockFailed, JobsSent, Tell


class Queues(Protocol):
    """Holds one queue of messages for each rung."""

    def take_turn(self, holder: str, *, for_s: float) -> bool:
        """Become the one whose clock acts."""
        ...

    def depth(self, rung: int) -> int:
        """Count the messages of a rung."""
        ...

    def send(self, jobs: Sequence[Unsent]) -> None:
        """Publish a message for each job."""
        ...


class Outbox(Protocol):
    """Knows which jobs should have a message and have none."""

    def unsent(self, rung: int, *, limit: int) -> list[Unsent]:
        """List them, due ones first."""
        ...

    def mark_sent(self, jobs: Sequence[Unsent]) -> None:
        """Note that they have one now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What one tick needs. A queue holds at most `window` messages: the rest of a large batch waits in SQL."""

    queues: Queues
    outbox: Outbox
    holder: str
    rungs: int
    window: int
    tick_s: float
    tell: Tell

    def tick(self) -> int:
        """Send what can be sent; returns how many jobs. Nothing where it is another worker's turn."""
        # The turn lapses a little before the next tick, so that it is never missed by a hair.
        if not self.queues.take_turn(self.holder, for_s=self.tick_s * 0.9):
            return 0
        return sum(self._top_up(rung) for rung in range(self.rungs))

    def _top_up(self, rung: int) -> int:
        room = self.window - self.queues.depth(rung)
        jobs = self.outbox.unsent(rung, limit=room) if room > 0 else []
        if jobs:
            self.queues.send(jobs)
            self.outbox.mark_sent(jobs)
            self.tell(JobsSent(rung=rung, count=len(jobs)))
        return len(jobs)


def start(clock: Clock) -> Callable[[], None]:
    """Tick in a thread of its own; returns what stops it. A broker or ledger that is away is asked again."""
    over = Event()

    def ticking() -> None:
        while not over.wait(clock.tick_s):
            try:
                clock.tick()
            except StepdownError as error:
                clock.tell(ClockFailed(said=str(error)))
            except Exception as error:  # noqa: BLE001 - a clock that stops is a queue that stops, and nobody would know
                clock.tell(ClockFailed(said=f"a mistake of ours: {type(error).__name__}: {error}"))

    thread = Thread(target=ticking, name="clock", daemon=True)
    thread.start()

    def stop() -> None:
        over.set()
        thread.join()

    return stop
