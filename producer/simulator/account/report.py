"""The provider's usage and cost report, added up from the purchase log.

The shapes are those of the SDK for `GET /v1/organizations/analytics/usage` and `.../cost`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from producer.simulator.account.billing import Usage, charges, from_api, passes
from producer.simulator.account.report_query import Asked, as_rfc_3339
from producer.simulator.request.catalog import served

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_NANO_PER_CENT = Decimal(10_000_000)
_CENTS = Decimal("0.0000000001")  # a thousandth of a nano-dollar: no charge is finer
_Key = tuple[datetime, tuple[tuple[str, str | None], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Charge:
    """A charge of a billed pass, of one kind."""

    at: datetime
    group: dict[str, str]
    kind: str
    count: int
    nano: Decimal
    requests: int


def usage_page(purchases: Iterable[Mapping[str, Any]], asked: Asked) -> dict[str, object]:
    """Add up tokens, a row for each day and group."""
    rows: dict[_Key, Counter[str]] = defaultdict(Counter)
    for charge in _charges(purchases, asked):
        rows[_key(charge, asked)].update({charge.kind: charge.count, "requests": charge.requests})
    sized = [(_tokens(counts), {**_place(key, asked), "usage": _usage(counts)}) for key, counts in rows.items()]
    return _page(sized, asked)


def cost_page(purchases: Iterable[Mapping[str, Any]], asked: Asked) -> dict[str, object]:
    """Add up money, in fractional cents; a row for each day and group, and for each kind if asked for."""
    money: dict[_Key, Decimal] = defaultdict(Decimal)
    requests: Counter[_Key] = Counter()
    for charge in _charges(purchases, asked):
        if asked.by_kind and not charge.count:
            continue
        key = _key(charge, asked)
        money[key] += charge.nano / _NANO_PER_CENT
        requests[key] += charge.requests
    sized = []
    for key, cents in money.items():
        amount = f"{cents.quantize(_CENTS):f}"
        cost = {"amount": amount, "list_amount": amount, "currency": "USD"}
        counted = None if asked.by_kind else requests[key]
        sized.append((cents, {**_place(key, asked), "cost": {**cost, "requests": counted}}))
    return _page(sized, asked)


def _charges(purchases: Iterable[Mapping[str, Any]], asked: Asked) -> Iterator[_Charge]:
    for purchase in purchases:
        at = datetime.fromisoformat(purchase["at"])
        if not purchase["billed_nano_usd"] or not asked.covers(at):
            continue
        model = served(purchase["served_model"])
        for number, (charged, usage) in enumerate(passes(model, from_api(purchase["usage"]))):
            group = {"model": charged.id, "service_tier": usage.service_tier, "inference_geo": usage.geo}
            counts = _counts(usage)
            for kind, nano in charges(charged, usage).items():
                is_first = number == 0 and kind == "output_tokens"
                yield _Charge(
                    at=at, group=group, kind=kind, count=counts[kind], nano=nano, requests=1 if is_first else 0
                )


def _counts(usage: Usage) -> dict[str, int]:
    return {
        "uncached_input_tokens": usage.input,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation.ephemeral_5m_input_tokens": usage.write_5m,
        "cache_creation.ephemeral_1h_input_tokens": usage.write_1h,
        "output_tokens": usage.output,
        "web_search": usage.web_searches,
    }


def _key(charge: _Charge, asked: Asked) -> _Key:
    is_token = charge.kind != "web_search"
    group: dict[str, str | None] = {
        **charge.group,
        "speed": "standard",
        "token_type": charge.kind if is_token else None,
        "cost_type": "tokens" if is_token else "web_search",
    }
    wanted = {*asked.groups, *(("cost_type",) if "token_type" in asked.groups else ())}
    return asked.bucket(charge.at), tuple(sorted((name, group[name]) for name in wanted))


def _place(key: _Key, asked: Asked) -> dict[str, object]:
    start, group = key
    return {
        "starting_at": as_rfc_3339(start),
        "ending_at": as_rfc_3339(asked.end_of(start)),
        "group": dict(group),
    }


def _usage(counts: Counter[str]) -> dict[str, object]:
    return {
        "uncached_input_tokens": counts["uncached_input_tokens"],
        "cache_read_input_tokens": counts["cache_read_input_tokens"],
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts["cache_creation.ephemeral_5m_input_tokens"],
            "ephemeral_1h_input_tokens": counts["cache_creation.ephemeral_1h_input_tokens"],
        },
        "output_tokens": counts["output_tokens"],
        "server_tool_use": {"web_search_requests": counts["web_search"]},
        "requests": counts["requests"],
        "total_tokens": _tokens(counts),
    }


def _tokens(counts: Counter[str]) -> int:
    return sum(count for kind, count in counts.items() if kind.endswith("tokens"))


def _page(sized: list[tuple[Any, dict[str, Any]]], asked: Asked) -> dict[str, object]:
    rows = [row for _, row in sorted(sized, key=lambda one: one[0], reverse=asked.is_descending)]
    if asked.is_by_time:
        rows.sort(key=lambda row: str(row["starting_at"]), reverse=asked.is_descending)
    data = rows[asked.offset : asked.offset + asked.limit]
    has_more = asked.offset + asked.limit < len(rows)
    return {
        "data": data,
        "has_more": has_more,
        "next_page": f"page_{asked.offset + asked.limit}" if has_more else None,
        "data_refreshed_at": as_rfc_3339(asked.refreshed_at),
    }
