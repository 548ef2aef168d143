"""The advice to wait, in any of the forms that providers and gateways write."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_S = 7 * 86_400.0  # the column counts milliseconds in 32 bits
_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")
_UNITS_S = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_AMOUNT = r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
_DURATION = re.compile(rf"{_AMOUNT}\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)?", re.IGNORECASE)
_IN_WORDS = re.compile(rf"\b(?:again|retry|wait)\b[^.]{{0,20}}?\b(?:in|after|for)\s+{_DURATION.pattern}", re.IGNORECASE)


def retry_after_s(headers: Mapping[str, str], *, now: datetime, message: str = "") -> float | None:
    """Return the advised wait in seconds, at most a week. Returns None if there is no advice, or nonsense.

    Milliseconds come before seconds, headers before the message. A date counts from the reply's own Date, else `now`.
    """
    for name in _MILLISECONDS:
        if (millis := _number(headers.get(name, ""))) is not None:
            return _capped(millis / 1000)
    header = headers.get("retry-after", "").strip()
    if header:
        return _of_header(header, _date(headers.get("date", "")) or now)
    found = _IN_WORDS.search(message)
    return None if found is None else _duration(found[1], found[2] or "")


def _of_header(header: str, sent_at: datetime) -> float | None:
    if (seconds := _number(header)) is not None:
        return _capped(seconds)
    if (found := _DURATION.fullmatch(header)) is not None:
        return _duration(found[1], found[2] or "")
    due = _date(header)
    return None if due is None else _capped(max(0.0, (due - sent_at).total_seconds()))


def _duration(amount: str, unit: str) -> float | None:
    word = unit.lower()
    known = "ms" if word.startswith(("ms", "milli")) else word[:1]
    return _capped(float(amount) * _UNITS_S[known])


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _date(text: str) -> datetime | None:
    """Read a date of HTTP, in any of its three forms, or of ISO 8601. A date without a zone is UTC."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text.strip())
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _capped(seconds: float) -> float | None:
    return min(seconds, _LONGEST_S) if math.isfinite(seconds) else None
