"""Days as people type them: one of the calendar, or so many days ago; in UTC."""

from datetime import UTC, date, datetime

import pytest

from models.errors import InputError
from producer.output.dates import midnight_of, parse_day, parse_days


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
