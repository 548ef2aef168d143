"""The query of a usage and cost report, checked as the API documents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY_ID = "apikey_simulator"  # the only key that this provider has sold
BETA = "analytics-usage-cost-2026-08-24"
_LONGEST = timedelta(days=31)
_DAY = timedelta(days=1)
_MOST_ROWS = 1000
_GROUPS = {"model", "service_tier", "inference_geo", "speed"}
_KINDS = {"cost_type", "token_type"}
_ONE = ("starting_at", "ending_at", "time_bucket_width", "order", "order_by", "limit", "page")


class AskedError(ValueError):
    """A report that is not given; the message names the parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A page of a report: `starting_at` included, `ending_at` not; nothing after `refreshed_at` is known yet."""

    starting_at: datetime
    ending_at: datetime
    refreshed_at: datetime
    groups: tuple[str, ...]
    is_daily: bool
    is_by_time: bool
    is_descending: bool
    is_ours: bool
    limit: int
    offset: int

    @property
    def by_kind(self) -> bool:
        """Whether rows are split by kind of charge."""
        return bool(_KINDS & set(self.groups))

    def covers(self, at: datetime) -> bool:
        """Return whether a purchase is in the report."""
        return self.is_ours and self.starting_at <= at < self.ending_at and at <= self.refreshed_at

    def bucket(self, at: datetime) -> datetime:
        """Find the start of the row that a purchase is in."""
        return at.replace(hour=0, minute=0, second=0, microsecond=0) if self.is_daily else self.starting_at

    def end_of(self, start: datetime) -> datetime:
        """Find the end of a row."""
        return start + _DAY if self.is_daily else self.ending_at


def asked_for(query: Sequence[tuple[str, str]], *, of_costs: bool, refreshed_at: datetime) -> Asked:
    """Read the query of a request, name by name; lists end in []."""
    one = {name: value for name, value in query if name in _ONE}
    groups = tuple(value for name, value in query if name == "group_by[]")
    keys = [value for name, value in query if name == "api_key_ids[]"]
    _refuse_unknown([name for name, _ in query], groups, of_costs=of_costs)
    start, end = _time(one, "starting_at"), _time(one, "ending_at")
    if not timedelta(0) < end - start <= _LONGEST:
        raise AskedError("ending_at: must be after starting_at, and at most 31 days")
    if one.get("time_bucket_width", "1d") != "1d":
        raise AskedError("time_bucket_width: this simulator has 1d only")
    limit = _whole(one.get("limit", "20"), "limit")
    if not 1 <= limit <= _MOST_ROWS:
        raise AskedError("limit: must be from 1 to 1000")
    return Asked(
        starting_at=start,
        ending_at=end,
        refreshed_at=refreshed_at,
        groups=groups,
        is_daily="time_bucket_width" in one,
        is_by_time=one.get("order_by") == "time",
        is_descending=one.get("order", "desc") == "desc",
        is_ours=not keys or KEY_ID in keys,
        limit=limit,
        offset=_whole(one.get("page", "page_0").removeprefix("page_"), "page"),
    )


def as_rfc_3339(at: datetime) -> str:
    """Write a time as the API does."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _refuse_unknown(names: Sequence[str], groups: Sequence[str], *, of_costs: bool) -> None:
    for name in names:
        if name not in {*_ONE, "group_by[]", "api_key_ids[]"}:
            raise AskedError(f"{name}: Extra inputs are not permitted by this simulator")
    for group in groups:
        if group not in (_GROUPS | _KINDS if of_costs else _GROUPS):
            raise AskedError(f"group_by[]: {group!r} is not one of this simulator's dimensions")


def _time(one: dict[str, str], name: str) -> datetime:
    try:
        at = datetime.fromisoformat(one[name])
    except KeyError:
        raise AskedError(f"{name}: Field required") from None
    except ValueError:
        raise AskedError(f"{name}: Input should be a valid datetime") from None
    if at.tzinfo is None:
        raise AskedError(f"{name}: Input should have timezone info")
    return at


def _whole(text: str, name: str) -> int:
    if not text.isdecimal():
        raise AskedError(f"{name}: Input should be a valid integer")
    return int(text)
