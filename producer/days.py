"""Days as people type them."""

import re
from datetime import UTC, date, datetime

from models.errors import InputError

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def parse_day(text: str, *, source: str, field: str) -> date:
    """Read a day such as 2026-12-01. Raises InputError, also for one that no calendar has.

    >>> parse_day("2026-12-01", source="x", field="--from")
    datetime.date(2026, 12, 1)
    """
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
        problem = "should be a day such as 2026-12-01"
    except ValueError as error:
        problem = f"is no day of the calendar ({error})"
    raise InputError(f"{text!r} {problem}", source=source, field=field)


def midnight_of(day: date) -> datetime:
    """Tell when a UTC day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
