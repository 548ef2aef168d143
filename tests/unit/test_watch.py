"""Following a batch: a bar in a terminal, a line every ten seconds elsewhere."""

import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from models.progress import Progress
from producer.watch import line, watch


def progress(succeeded: int, of: int = 10, **changes: Any) -> Progress:
    fields: dict[str, Any] = {
        "batch_id": "b",
        "name": None,
        "created_at": datetime(2026, 11, 23, tzinfo=UTC),
        "job_count": of,
        "states": {"succeeded": succeeded, "queued": of - succeeded},
        "held": 0,
        "over_budget": 0,
        "attempts": succeeded,
        "cost_usd": Decimal("0.01") * succeeded,
        "unknown_costs": 0,
    }
    return Progress(**{**fields, **changes})


class Terminal(io.StringIO):
    """A terminal that remembers what it was told."""

    def isatty(self) -> bool:
        return True


class Watched:
    """A batch that is looked at again and again, and a clock that goes on as long as each sleep asks for."""

    def __init__(self, looks: Iterable[Progress], out: io.StringIO) -> None:
        self.looks: Iterator[Progress] = iter(looks)
        self.out = out
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def follow(self, timeout_s: float | None = None) -> Progress:
        return watch(
            lambda: next(self.looks), timeout_s=timeout_s, out=self.out, clock=lambda: self.now, sleep=self.sleep
        )


def test_elsewhere_than_in_a_terminal_there_is_a_line_every_ten_seconds_and_a_last_one() -> None:
    watched = Watched([progress(0), *[progress(4)] * 100, progress(10)], io.StringIO())
    assert watched.follow().is_finished
    assert watched.out.getvalue() == (
        "  █████████████···················  4/10  0 failed  0.4 jobs/s  ETA 15 s  $0.04\n"
        "  █████████████···················  4/10  0 failed  0.2 jobs/s  ETA 30 s  $0.04\n"
        "  ████████████████████████████████  10/10  0 failed  0.4 jobs/s  $0.10\n"
    )
    assert watched.now == pytest.approx(1025.25)


def test_a_batch_that_has_ended_already_is_told_at_once_in_one_line() -> None:
    watched = Watched([progress(10)], io.StringIO())
    watched.follow()
    assert watched.out.getvalue() == "  ████████████████████████████████  10/10  0 failed  $0.10\n"
    assert watched.now == 1000


def test_in_a_terminal_one_line_is_written_over_and_over() -> None:
    watched = Watched([progress(0), progress(5), progress(10)], Terminal())
    watched.follow()
    told = watched.out.getvalue()
    assert [part.split("  ")[2] for part in told.split("\r\x1b[2K")[1:]] == ["0/10", "5/10", "10/10"]
    assert told.count("\n") == 1
    assert told.endswith("\n")


@pytest.mark.parametrize("out", [io.StringIO(), Terminal()])
def test_after_the_timeout_it_is_told_how_many_ended_and_that_the_batch_goes_on(out: io.StringIO) -> None:
    watched = Watched([progress(3)] * 100, out)
    with pytest.raises(TimeoutError, match=r"^3 of 10 jobs ended in 2.5 s; the batch goes on$"):
        watched.follow(timeout_s=2.5)
    assert watched.now == pytest.approx(1002.75)
    assert out.getvalue()[-1:] in {"", "\n"}


def test_a_batch_that_ends_within_its_timeout_is_no_timeout() -> None:
    assert Watched([progress(0), progress(10)], io.StringIO()).follow(timeout_s=0.3).succeeded == 10


def test_a_line_tells_failed_waiting_rate_time_left_and_money() -> None:
    states = {"succeeded": 5, "failed": 1, "waiting": 2, "running": 2}
    now = progress(0, states=states, cost_usd=Decimal("0.940000000"), unknown_costs=3)
    assert line(now, done=3, passed_s=2.0) == (
        "  ███████████████████·············  6/10  1 failed  2 waiting  1.5 jobs/s  ETA 3 s  $0.94 + 3 unknown"
    )


def test_a_batch_of_which_only_held_jobs_are_left_is_not_watched_for_ever() -> None:
    states = {"succeeded": 8, "waiting": 2}
    watched = Watched([progress(0, states=states, held=1), progress(0, states=states, held=2)], io.StringIO())
    assert watched.follow().held == 2
    assert "  8/10  0 failed  2 held  " in watched.out.getvalue()


def test_jobs_over_budget_are_told() -> None:
    assert "  4 over budget  " in line(progress(3, over_budget=4), done=0, passed_s=0)


def test_a_held_job_is_not_counted_as_waiting() -> None:
    now = progress(0, states={"succeeded": 7, "waiting": 3}, held=1)
    assert "2 waiting  1 held" in line(now, done=0, passed_s=0)


@pytest.mark.parametrize(("done", "passed_s"), [(0, 5.0), (0, 0.0)])
def test_without_a_rate_no_time_is_promised(done: int, passed_s: float) -> None:
    said = line(progress(2), done=done, passed_s=passed_s)
    assert "ETA" not in said
    assert "jobs/s" not in said


def test_a_cancelled_job_has_ended() -> None:
    cancelled = progress(0, states={"succeeded": 8, "cancelled": 2})
    assert "10/10" in line(cancelled, done=2, passed_s=1)


def test_who_waits_for_nobody_is_told_so() -> None:
    nobody = "no worker has taken any of it up: is `stepdown worker` running?"
    assert line(progress(0), done=0, passed_s=10).endswith(nobody)
    for soon_or_begun in (line(progress(0), done=0, passed_s=9), line(progress(1), done=1, passed_s=10)):
        assert nobody not in soon_or_begun
