"""Days and lengths of time as people type them."""

import re
from datetime import UTC, date, datetime, time, timedelta
from reprlib import repr as shown

from models.errors import InputError

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_AGO = re.compile(r"([0-9]{1,5})d")
_LENGTH = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}")
_DAY_LENGTH = 10  # characters; a day has no time
_TEN_YEARS_S = 3650 * 86_400


def parse_day(text: str, *, source: str, field: str, today: date | None = None) -> date:
    """Read a UTC day, or how many days ago it was. Raises InputError, also for one that no calendar has.

    >>> parse_day("2026-12-01", source="x", field="--from")
    datetime.date(2026, 12, 1)
    >>> parse_day("7d", source="x", field="--since", today=date(2026, 11, 25))
    datetime.date(2026, 11, 18)
    """
    try:
        if ago := _AGO.fullmatch(text):
            return (today or datetime.now(UTC).date()) - timedelta(days=int(ago[1]))
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
        problem = "should be a day such as 2026-12-01, or 7d for seven days ago"
    except (ValueError, OverflowError) as error:
        problem = f"is no day of the calendar ({error})"
    raise InputError(f"{text!r} {problem}", source=source, field=field)


def parse_days(since: str | None, until: str | None, *, source: str) -> tuple[date | None, date | None]:
    """Read --since and --until, either of which may be left out. Raises InputError."""
    first = None if since is None else parse_day(since, source=source, field="--since")
    last = None if until is None else parse_day(until, source=source, field="--until")
    require_order(first, last, source=source)
    return first, last


def require_order(first: date | None, last: date | None, *, source: str) -> None:
    """Raise InputError where the last day is before the first."""
    if first is not None and last is not None and last < first:
        raise InputError(f"{last} is before {first}", source=source, field="--until")


def parse_seconds(text: str, *, source: str, field: str) -> int:
    """Read a length of time, in seconds. Raises InputError.

    >>> parse_seconds("90m", source="x", field="--deadline")
    5400
    """
    length = _LENGTH.fullmatch(text)
    if length is None:
        raise InputError(f"{text!r} should be such as 30d, 12h, 90m or 45s", source=source, field=field)
    return int(length[1]) * _SECONDS[length[2]]


def seconds_until(given: object, *, source: str, field: str, now: datetime | None = None) -> float:
    """Return the seconds until a moment: a datetime, an ISO time, or the next time of day such as 06:00.

    The clock of this machine is for a moment without a zone. Raises InputError, also for a moment that is past.
    """
    now = datetime.now(UTC) if now is None else now
    try:
        seconds = (_moment(given, now) - now).total_seconds()
    except (ValueError, OverflowError):
        problem = "should be a time such as 06:00, 2026-12-01T06:00 or 2026-12-01T06:00+01:00"
        raise InputError(f"{shown(given)} {problem}", source=source, field=field) from None
    if not 1 <= seconds <= _TEN_YEARS_S:
        problem = "is past; give a time to come" if seconds < 1 else "is more than ten years away; give an earlier time"
        raise InputError(f"{given} {problem}", source=source, field=field)
    return seconds


def _moment(given: object, now: datetime) -> datetime:
    """Return a moment with its zone. Raises ValueError, OverflowError."""
    if isinstance(given, str) and _CLOCK.fullmatch(given):
        today, at = now.astimezone().date(), time.fromisoformat(given)
        days = ((today, 0), (today, 1), (today + timedelta(days=1), 0))  # an hour may come twice: its second is fold 1
        moments = (datetime.combine(day, at.replace(fold=fold)).astimezone() for day, fold in days)
        return next(moment for moment in moments if moment > now)
    if isinstance(given, str) and len(given) > _DAY_LENGTH:
        given = datetime.fromisoformat(given)
    if not isinstance(given, datetime):
        raise ValueError(given)  # noqa: TRY004 - the caller names the types that are right
    return given if given.tzinfo is not None else given.astimezone()


def midnight_of(day: date) -> datetime:
    """Tell when a UTC day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
