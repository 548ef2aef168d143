"""Reads the provider's usage and cost report: the charges by UTC day, model and kind.

The shapes are those of `client.beta.organization.analytics` in anthropic 2.12.0.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import reduce
from operator import getitem
from typing import Any
from urllib.parse import urlencode

from models.accounting.expected_bill import STANDARD
from models.errors import ApiError
from models.settings import Settings
from producer.costs.anthropic_http import Api, admin_api_of

_BETA = "analytics-usage-cost-2026-08-24"
_PATH = "/v1/organizations/analytics/"
_DAYS = 31  # the most days of one report
_ROWS = 1000
_NO_MODEL = "(no model)"
_TOKENS = {
    "uncached_input_tokens": "input",
    "cache_read_input_tokens": "cache_read",
    "cache_creation.ephemeral_5m_input_tokens": "cache_write_5m",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write_1h",
    "output_tokens": "output",
}
_CENTS_A_USD = 100
_ZERO = Decimal(0)


@dataclass(slots=True, kw_only=True)
class Charge:
    """The provider's charge of one kind: a count, USD charged, USD at list price, and the unit of the amounts."""

    count: int = 0
    usd: Decimal = _ZERO
    list_usd: Decimal = _ZERO
    unit_usd: Decimal = _ZERO


@dataclass(slots=True, kw_only=True)
class Billed:
    """Charges by (day, model, service tier, kind), and requests by the first three.

    Charges after `refreshed_at` may be missing.
    """

    charges: dict[tuple[date, str, str, str], Charge] = field(default_factory=lambda: defaultdict(Charge))
    requests: dict[tuple[date, str, str], int] = field(default_factory=lambda: defaultdict(int))
    refreshed_at: datetime | None = None


def read_billed(settings: Settings, since: date, until: date, *, key_id: str | None = None) -> Billed:
    """Read the charges from `since` to `until`, both included; of one API key, if `key_id` is given.

    Raises ApiError, SettingsError without an admin key, InputError for days that the provider does not report.
    """
    api, billed = admin_api_of(settings, **{"anthropic-beta": _BETA}), Billed()
    first = since
    while first <= until:
        last = min(until, first + timedelta(days=_DAYS - 1))
        asked = _query(first, last, key_id)
        try:
            for row in _rows(api, "usage", [*asked, *_groups("model", "service_tier")], billed):
                _take_usage(row, billed)
            groups = _groups("model", "service_tier", "cost_type", "token_type")
            for row in _rows(api, "cost", [*asked, *groups], billed):
                _take_cost(row, billed)
        except (AttributeError, KeyError, TypeError, ValueError, InvalidOperation) as error:
            raise ApiError(f"{_PATH} has another shape than anthropic 2.12.0 types: {error!r}") from error
        first = last + timedelta(days=1)
    return billed


def _query(first: date, last: date, key_id: str | None) -> list[tuple[str, str]]:
    end = last + timedelta(days=1)
    query = [("starting_at", _rfc_3339(first)), ("ending_at", _rfc_3339(end)), ("time_bucket_width", "1d")]
    query += [("order_by", "time"), ("limit", str(_ROWS))]
    return query if key_id is None else [*query, ("api_key_ids[]", key_id)]


def _groups(*names: str) -> list[tuple[str, str]]:
    return [("group_by[]", name) for name in names]


def _rfc_3339(day: date) -> str:
    return datetime.combine(day, time(), UTC).isoformat().replace("+00:00", "Z")


def _rows(api: Api, name: str, query: list[tuple[str, str]], billed: Billed) -> Iterator[Mapping[str, Any]]:
    page: list[tuple[str, str]] = []
    while True:
        answer = api.ask(f"{_PATH}{name}?{urlencode([*query, *page])}")
        yield from answer["data"]
        _take_refreshed(answer.get("data_refreshed_at"), billed)
        if not answer.get("has_more") or not answer.get("next_page"):
            return
        if page == [("page", answer["next_page"])]:
            message = f"the page {answer['next_page']!r} follows itself"
            raise ValueError(message)
        page = [("page", answer["next_page"])]


def _take_refreshed(text: str | None, billed: Billed) -> None:
    if text is not None:
        at = datetime.fromisoformat(text)
        billed.refreshed_at = at if billed.refreshed_at is None else min(at, billed.refreshed_at)


def _take_usage(row: Mapping[str, Any], billed: Billed) -> None:
    place, usage = _place(row), row["usage"]
    for path, kind in {**_TOKENS, "server_tool_use.web_search_requests": "web_search"}.items():
        if count := reduce(getitem, path.split("."), usage):
            billed.charges[*place, kind].count += int(count)
    billed.requests[place] += usage.get("requests") or 0


def _take_cost(row: Mapping[str, Any], billed: Billed) -> None:
    cost, group = row["cost"], row["group"]
    if cost["currency"] != "USD":
        message = f"currency {cost['currency']!r}"
        raise ValueError(message)
    token = group.get("token_type")
    kind = str(group.get("cost_type")) if token is None else _TOKENS.get(token, str(token))
    amount, list_amount = Decimal(cost["amount"]), Decimal(cost["list_amount"])
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or not list_amount.is_finite():
        message = f"amount {cost['amount']!r}"
        raise ValueError(message)
    charge = billed.charges[*_place(row), kind]
    charge.usd += amount / _CENTS_A_USD
    charge.list_usd += list_amount / _CENTS_A_USD
    charge.unit_usd += Decimal(1).scaleb(exponent) / _CENTS_A_USD


def _place(row: Mapping[str, Any]) -> tuple[date, str, str]:
    day, group = datetime.fromisoformat(row["starting_at"]).astimezone(UTC).date(), row["group"]
    return day, str(group.get("model") or _NO_MODEL), str(group.get("service_tier") or STANDARD)
