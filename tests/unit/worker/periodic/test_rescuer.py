"""When strays are rescued: only after the ledger was there for a whole lease."""

from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from models.errors import LedgerError
from models.job.strays import Rescue, Stray
from models.ledger.leases import Leases
from tests.support.ledgers.job_values import stray
from tests.support.plays.walk_scene import HandClock
from worker.events import Event, Rescued
from worker.periodic.rescuer import Rescuer
from worker.recovery.rescue import RescuePolicy

_POLICY = RescuePolicy(hold_above_usd=Decimal(0), worst_case_usd=lambda _model, _params, **_tier: None)


@dataclass(slots=True)
class Book(Leases):
    """Strays in memory. `is_away`: the ledger; `slow_s`: how long it takes to answer."""

    clock: HandClock
    found: list[Stray] = field(default_factory=lambda: [stray()])
    is_away: bool = False
    is_ours: bool = True
    slow_s: float = 0.0

    def strays(self, *, limit: int) -> list[Stray]:
        assert limit > 0
        self.clock.now_s += self.slow_s
        if self.is_away:
            raise LedgerError("away")
        return self.found

    def mark_cancelled_unknown(self, *, limit: int) -> int:
        assert limit > 0
        return 0

    def rescue(self, _stray: Stray, _rescue: Rescue) -> bool:
        return self.is_ours


def _rescuer(book: Book, events: list[Event] | None = None) -> Rescuer:
    reported = list[Event]() if events is None else events
    return Rescuer(strays=book, policy=_POLICY, lease_s=9, every_s=3, clock=book.clock, report=reported.append)


def _looks(rescuer: Rescuer, book: Book, count: int) -> list[int]:
    taken = []
    for _ in range(count):
        taken.append(rescuer.look())
        book.clock.now_s += 3
    return taken


def test_after_its_start_it_looks_for_a_lease_before_it_rescues() -> None:
    events = list[Event]()
    book = Book(HandClock())
    assert _looks(_rescuer(book, events), book, 5) == [0, 0, 0, 1, 1]
    assert isinstance(events[0], Rescued)
    assert events[0].job_id == "job-1"


def test_a_stray_that_somebody_else_took_is_not_told() -> None:
    events = list[Event]()
    book = Book(HandClock(), is_ours=False)
    assert _looks(_rescuer(book, events), book, 5) == [0] * 5
    assert events == []


def test_a_ledger_that_was_away_is_watched_for_a_lease_again() -> None:
    book = Book(HandClock())
    rescuer = _rescuer(book)
    assert _looks(rescuer, book, 4)[-1] == 1
    book.is_away = True
    with pytest.raises(LedgerError):
        rescuer.look()
    book.is_away = False
    assert _looks(rescuer, book, 4) == [0, 0, 0, 1]


@pytest.mark.parametrize("how", ["it was frozen", "we were stopped"])
def test_a_freeze_is_an_absence(how: str) -> None:
    book = Book(HandClock())
    rescuer = _rescuer(book)
    assert _looks(rescuer, book, 4)[-1] == 1
    if how == "it was frozen":
        book.slow_s = 60
        rescuer.look()
        book.slow_s = 0
        book.clock.now_s += 3
    else:
        book.clock.now_s += 60
    assert _looks(rescuer, book, 4) == [0, 0, 0, 1]


def test_an_answer_that_comes_after_a_freeze_rescues_nobody() -> None:
    book = Book(HandClock())
    rescuer = _rescuer(book)
    assert _looks(rescuer, book, 4)[-1] == 1
    book.slow_s = 6
    assert rescuer.look() == 0
    book.slow_s = 0
    assert rescuer.look() == 1
