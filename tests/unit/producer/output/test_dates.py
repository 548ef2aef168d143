"""Days and times as people type them: of the calendar or so many days ago, of this machine's clock or with a zone."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from models.errors import InputError
from producer.output.dates import midnight_of, parse_day, parse_days, seconds_until

_HOUR_S = 3600.0


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set this machine's clock to a zone with summer time, two hours ahead of UTC, and one in winter."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def _hours_until(given: object, now: str) -> float:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    return seconds_until(given, source="options", field="--by", now=at) / _HOUR_S


@pytest.mark.parametrize("text", ["2026-02-30", "d", "-1d", "99999d", "7h", "2026-11", "20261101", "2026-W01-1", ""])
def test_a_day_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="report: --until: "):
        parse_day(text, source="report", field="--until", today=date(200, 1, 1))


def test_days_ago_are_counted_from_today() -> None:
    assert parse_day("0d", source="x", field="--since", today=date(2026, 3, 1)) == date(2026, 3, 1)
    assert parse_day("1d", source="x", field="--since", today=date(2026, 3, 1)) == date(2026, 2, 28)


def test_a_day_begins_at_midnight_utc() -> None:
    assert midnight_of(date(2026, 3, 1)) == datetime(2026, 3, 1, tzinfo=UTC)


def test_a_last_day_before_the_first_is_refused_and_either_may_be_left_out() -> None:
    with pytest.raises(InputError, match="report: --until: 2026-03-01 is before 2026-03-02"):
        parse_days("2026-03-02", "2026-03-01", source="report")
    assert parse_days("2026-03-02", "2026-03-02", source="x") == (date(2026, 3, 2), date(2026, 3, 2))
    assert parse_days(None, None, source="x") == (None, None)


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("now", "given", "hours"),
    [
        ("2026-12-01T04:30", "06:00", 0.5),  # 05:30 here
        ("2026-12-01T05:00", "06:00", 24),  # 06:00 here: the next such time is tomorrow's
        ("2026-12-01T20:00", "06:00", 9),
        ("2026-12-01T22:59", "00:00", 1 / 60),  # the day ends here an hour before it ends in UTC
        ("2026-12-31T23:30", "00:15", 23.75),
        ("2026-03-28T20:00", "06:00", 8),  # the night of 28 March has one hour less
        ("2026-10-24T19:00", "06:00", 10),  # and the night of 24 October one more
        ("2026-10-25T00:10", "02:30", 1 / 3),  # 02:10 here, for the first time
        ("2026-10-25T00:40", "02:30", 5 / 6),  # 02:40 here: half past two comes again
        ("2026-10-25T01:40", "02:30", 23 + 5 / 6),
    ],
)
def test_a_time_of_day_is_the_next_such_time_of_this_machine(now: str, given: str, hours: float) -> None:
    assert _hours_until(given, now) == pytest.approx(hours)


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    "given",
    [
        "2026-07-02T06:00",
        "2026-07-02 06:00:00",
        "2026-07-02T04:00Z",
        "2026-07-02T05:00+01:00",
        "20260702T0600",
        datetime(2026, 7, 2, 6),  # noqa: DTZ001 - without a zone, as a caller may give it
        datetime(2026, 7, 2, 4, tzinfo=UTC),
        datetime(2026, 7, 1, 22, tzinfo=timezone(timedelta(hours=-6))),
    ],
)
def test_a_moment_has_its_own_zone_or_that_of_this_machine(given: object) -> None:
    assert _hours_until(given, "2026-07-01T22:00") == 6


@pytest.mark.parametrize(
    "given", ["", "6", "6:00", "24:00", "06:60", "noon", "2026-12-02", "20261202", "2026-02-30T06:00", 6, date.max]
)
def test_a_time_that_is_none_is_refused_by_field_with_examples(given: object) -> None:
    example = "should be a time such as 06:00, 2026-12-01T06:00 or 2026-12-01T06:00\\+01:00"
    with pytest.raises(InputError, match=f"options: --by: .*{example}"):
        _hours_until(given, "2026-12-01T00:00")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("2026-11-30T23:59Z", "is past; give a time to come"),
        ("2026-12-01T00:00Z", "is past; give a time to come"),
        ("2036-12-01T00:00Z", "is more than ten years away; give an earlier time"),
        ("9999-12-31T23:59", "is more than ten years away; give an earlier time"),
    ],
)
def test_a_time_that_no_job_can_end_by_is_refused(given: str, problem: str) -> None:
    with pytest.raises(InputError, match=f"options: --by: {given} {problem}"):
        _hours_until(given, "2026-12-01T00:00")
