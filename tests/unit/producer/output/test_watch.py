"""Following a batch: a bar in a terminal, a line every ten seconds elsewhere."""

import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from models.job.progress import Progress
from producer.output.watch import NO_WORKER, Pace, Speed, line, watch

WIDTHS = [*range(20, 121)]


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
    reported = watched.out.getvalue()
    assert [part.split("  ")[2] for part in reported.split("\r\x1b[2K")[1:]] == ["0/10", "5/10", "10/10"]
    assert reported.count("\n") == 1
    assert reported.endswith("\n")


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
    assert line(now, Pace(rate=1.5)) == (
        "  ███████████████████·············  6/10  1 failed  2 waiting  1.5 jobs/s  ETA 3 s  $0.94 + 3 unknown"
    )


def test_a_batch_of_which_only_held_jobs_are_left_is_not_watched_for_ever() -> None:
    states = {"succeeded": 8, "waiting": 2}
    watched = Watched([progress(0, states=states, held=1), progress(0, states=states, held=2)], io.StringIO())
    assert watched.follow().held == 2
    assert "  8/10  0 failed  2 held  " in watched.out.getvalue()


def test_jobs_over_budget_are_told() -> None:
    assert "  4 over budget  " in line(progress(3, over_budget=4), Pace())


def test_jobs_at_half_price_are_told_apart_and_are_no_standstill() -> None:
    now = progress(0, states={"succeeded": 2, "waiting": 8}, half_price=7)
    assert "0 failed  7 at half price  1 waiting" in line(now, Pace())
    stalled = Pace(idle_s=4000, is_stalled=True)
    assert "stalled for 1 h 6 min" in line(now, stalled)
    assert "stalled" not in line(progress(0, states={"succeeded": 2, "waiting": 8}, half_price=8), stalled)


def test_a_held_job_is_not_counted_as_waiting() -> None:
    now = progress(0, states={"succeeded": 7, "waiting": 3}, held=1)
    assert "2 waiting  1 held" in line(now, Pace())


def test_without_a_rate_no_time_is_promised() -> None:
    message = line(progress(2), Pace(idle_s=5))
    assert "ETA" not in message
    assert "jobs/s" not in message


def test_a_cancelled_job_has_ended() -> None:
    cancelled = progress(0, states={"succeeded": 8, "cancelled": 2})
    assert "10/10" in line(cancelled, Pace(rate=2))


def test_who_waits_for_nobody_is_told_so() -> None:
    assert line(progress(0), Pace(idle_s=10)).endswith(NO_WORKER)
    for soon_or_begun in (line(progress(0), Pace(idle_s=9)), line(progress(1), Pace(idle_s=10))):
        assert NO_WORKER not in soon_or_begun
    for width in (40, 80):
        assert line(progress(0), Pace(idle_s=10), width=width - 1).endswith("no worker took any up yet")


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_it_may_be_and_the_count_is_always_there(width: int) -> None:
    states = {"succeeded": 51_234, "failed": 120, "waiting": 40_000, "running": 512}
    full = {"states": states, "held": 7, "over_budget": 19, "cost_usd": Decimal("1234.567891"), "unknown_costs": 12}
    for now in (progress(5), progress(0, of=100_000, **full), progress(0)):
        for pace in (Pace(), Pace(rate=123.4), Pace(rate=0.01), Pace(rate=9, idle_s=4000, is_stalled=True)):
            message = line(now, pace, width=width)
            assert len(message) <= width
            assert f"{now.finished}/{now.job_count}" in message


def test_a_narrow_line_keeps_what_a_person_asks_for_first() -> None:
    now = progress(0, states={"succeeded": 3, "failed": 1, "queued": 6}, cost_usd=Decimal("0.12"))
    assert line(now, Pace(rate=0.4), width=59) == "  █████·······  4/10  1 failed  0.4 jobs/s  ETA 15 s  $0.12"
    assert line(now, Pace(rate=0.4), width=46) == "  ████·······  4/10  1 failed  ETA 15 s  $0.12"
    assert line(now, Pace(rate=0.4), width=39) == "  4/10  1 failed  ETA 15 s  $0.12"
    assert line(now, Pace(rate=0.4), width=20) == "  4/10  1 failed"


def test_the_time_left_follows_the_speed_of_now_not_of_the_start() -> None:
    speed = Speed(0, 0)
    for second in range(1, 61):
        speed.saw(second, second)  # one a second, for a minute
    for second in range(61, 101):
        speed.saw(second, 60 + (second - 60) * 10)  # ten times as fast
    assert speed.jobs_a_second(100) == pytest.approx(10)
    for second in range(101, 141):
        speed.saw(second, 460 + (second - 100) // 4)  # and four seconds each
    assert speed.jobs_a_second(140) == pytest.approx(0.25, rel=0.1)


def test_a_few_long_jobs_have_a_speed_too() -> None:
    speed = Speed(0, 0)
    for minute in range(1, 6):
        speed.saw(minute * 60, minute)
    assert speed.jobs_a_second(300) == pytest.approx(1 / 60)
    assert not speed.is_stalled(400), "a job takes a minute: 100 s are no standstill"
    assert speed.is_stalled(481)


def test_a_batch_that_stands_still_is_told_to_and_for_how_long() -> None:
    watched = Watched([progress(0), *[progress(4)] * 200, progress(10)], io.StringIO())
    watched.follow()
    reported = watched.out.getvalue().splitlines()
    assert "ETA" in reported[1]
    assert "  4/10  0 failed  stalled for 40 s  $0.04" in reported[3]
    assert all(word not in reported[3] for word in ("ETA", "jobs/s"))
    assert "stalled" not in reported[-1]


def test_a_batch_of_which_nothing_ended_yet_is_not_called_stalled() -> None:
    speed = Speed(0, 0)
    speed.saw(500, 0)
    assert not speed.is_stalled(500)
    assert speed.jobs_a_second(500) == 0


def test_jobs_that_are_answered_again_begin_a_new_count() -> None:
    speed = Speed(0, 0)
    speed.saw(10, 100)
    speed.saw(20, 50)
    assert speed.jobs_a_second(21) == 0
    speed.saw(30, 60)
    assert speed.jobs_a_second(30) == pytest.approx(1)
