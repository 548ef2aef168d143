"""When a worker takes no job."""

from dataclasses import dataclass, field

from tests.support.plays.walk_scene import HandClock
from worker.events import DiskLow, Event
from worker.intake import DISK_LOW, STOPPING, Intake


@dataclass(slots=True)
class Disk:
    """Room that a test sets; `looks` counts how often it was asked for."""

    free_mb: int = 100
    looks: int = 0
    events: list[Event] = field(default_factory=list)

    def free(self) -> int:
        self.looks += 1
        return self.free_mb


def _gate(disk: Disk, clock: HandClock) -> Intake:
    return Intake(free_mb=disk.free, needed_mb=64, clock=clock, report=disk.events.append)


def test_a_worker_that_stops_takes_nothing() -> None:
    intake = _gate(Disk(), HandClock())
    assert (intake.closed_reason(), intake.is_stopping()) == (None, False)
    intake.close()
    assert (intake.closed_reason(), intake.is_stopping()) == (STOPPING, True)


def test_a_disk_that_fills_closes_it_and_room_opens_it_again() -> None:
    disk, clock = Disk(), HandClock()
    intake = _gate(disk, clock)
    reported = []
    for free_mb in (100, 63, 10, 64, 63):
        clock.now_s += 1
        disk.free_mb = free_mb
        reported.append(intake.closed_reason())
    assert reported == [None, DISK_LOW, DISK_LOW, None, DISK_LOW]
    assert disk.events == [DiskLow(free_mb=63, needed_mb=64)] * 2, "each time once"


def test_the_disk_is_looked_at_once_a_second_however_many_ask() -> None:
    disk, clock = Disk(), HandClock()
    intake = _gate(disk, clock)
    for _ in range(100):
        clock.now_s += 0.02
        intake.closed_reason()
    assert disk.looks == 2


def test_a_disk_that_is_gone_has_no_room() -> None:
    disk = Disk(free_mb=-1)
    intake = Intake(free_mb=disk.free, needed_mb=0, clock=HandClock(), report=disk.events.append)
    assert (intake.closed_reason(), intake.is_fit()) == (DISK_LOW, False)


def test_a_reason_shuts_it_until_the_reason_is_gone_and_one_that_stops_is_fit_all_the_same() -> None:
    intake = _gate(Disk(), HandClock())
    intake.shut("the ledger is away")
    assert (intake.closed_reason(), intake.is_fit()) == ("the ledger is away", False)
    intake.shut(None)
    assert (intake.closed_reason(), intake.is_fit()) == (None, True)
    intake.close()
    assert (intake.closed_reason(), intake.is_fit()) == (STOPPING, True)
