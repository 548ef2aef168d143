"""Days as people type them: one of the calendar, or so many days ago; in UTC."""

from datetime import UTC, date, datetime

import pytest

from models.errors import InputError
from producer.days import midnight_of, parse_day


@pytest.mark.parametrize("text", ["2026-02-30", "d", "-1d", "99999d", "7h", "2026-11", "20261101", "2026-W01-1", ""])
def test_a_day_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="report: --until: "):
        parse_day(text, source="report", field="--until", today=date(200, 1, 1))


def test_days_ago_are_counted_from_today() -> None:
    assert parse_day("0d", source="x", field="--since", today=date(2026, 3, 1)) == date(2026, 3, 1)
    assert parse_day("1d", source="x", field="--since", today=date(2026, 3, 1)) == date(2026, 2, 28)


def test_a_day_begins_at_midnight_utc() -> None:
    assert midnight_of(date(2026, 3, 1)) == datetime(2026, 3, 1, tzinfo=UTC)
