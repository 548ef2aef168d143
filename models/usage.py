"""What one reply used, as the API counts it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from models.line import line

_MOST = 2**31 - 1  # what a counter's column in the ledger holds
COUNTERS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "web_searches",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one reply. The four input counters are disjoint; none contains another.

    `thinking_tokens` is the part of `output_tokens` spent on reasoning, shown but not priced again.
    `raw` is the reply's own usage object: counters unknown today survive in it.
    """

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    thinking_tokens: int | None = None
    web_searches: int = 0
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not: what a price tier is chosen by."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass over a model inside a reply; `model` is None where it is the one that answered."""

    model: str | None
    usage: Usage


def usage_from(raw: Mapping[str, Any]) -> Usage | None:
    """Read the API's usage object; None where a counter is missing, negative, absurd or no whole number.

    A whole float is a count. Cache writes without a lifetime are five-minute ones, the API's default: those of a total
    that its breakdown does not hold, too, as where a gateway sets the breakdown to 0. Where the reply was made in
    several passes (`iterations`), the counters are those of all of them: some are not in its own totals.
    """
    counters = _counters(raw)
    if counters is None:
        return None
    thinking = _object(raw.get("output_tokens_details")).get("thinking_tokens")
    usage = Usage(
        **counters,
        thinking_tokens=thinking if _is_count(thinking) else None,
        service_tier=line(raw.get("service_tier")),
        speed=line(raw.get("speed")),
        inference_geo=line(raw.get("inference_geo")),
        raw=raw,
    )
    return _counting(usage, _summed(passes(usage)))


def passes(usage: Usage) -> tuple[Pass, ...]:
    """Take a reply's usage apart into what is priced one by one; together they count what it counts."""
    listed = _listed(usage.raw)
    if not listed:
        return (Pass(model=None, usage=usage),)
    each = [_counting(usage, {**(_counters(entry) or {}), "web_searches": 0}) for entry in listed]
    each[0] = replace(each[0], web_searches=usage.web_searches)  # searches are counted for the reply as a whole
    models = [line(entry.get("model")) for entry in listed]
    return tuple(Pass(model=model, usage=own) for model, own in zip(models, each, strict=True))


def is_legible(usage: Usage) -> bool:
    """Tell whether every pass could be read; else only the reply's own totals are known."""
    return not usage.raw.get("iterations") or bool(_listed(usage.raw))


def _listed(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = raw.get("iterations")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        return []
    counted, whole = [_counters(entry) for entry in listed], _counters(raw) or {}
    # Passes leave nothing out that the whole counts; where they seem to, they are not all there.
    is_whole = all(sum((entry or {}).get(name, 0) for entry in counted) >= whole.get(name, 0) for name in COUNTERS[:-1])
    return listed if is_whole and None not in counted else []


def _counting(usage: Usage, counters: Mapping[str, Any]) -> Usage:
    return replace(usage, **counters)


def _summed(parts: tuple[Pass, ...]) -> dict[str, int]:
    return {name: min(_MOST, sum(getattr(part.usage, name) for part in parts)) for name in COUNTERS}


def _counters(raw: Mapping[str, Any]) -> dict[str, int] | None:
    written = _object(raw.get("cache_creation"))
    write_1h = _whole(written.get("ephemeral_1h_input_tokens")) or 0
    counters = {
        "input_tokens": raw.get("input_tokens"),
        "output_tokens": raw.get("output_tokens"),
        "cache_read_tokens": raw.get("cache_read_input_tokens") or 0,
        "cache_write_5m_tokens": _write_5m(raw, written, write_1h),
        "cache_write_1h_tokens": write_1h,
        "web_searches": _object(raw.get("server_tool_use")).get("web_search_requests") or 0,
    }
    known = {name: count for name, found in counters.items() if _is_count(count := _whole(found))}
    return known if len(known) == len(counters) else None


def _write_5m(raw: Mapping[str, Any], written: Mapping[str, Any], write_1h: Any) -> Any:
    given = _whole(written.get("ephemeral_5m_input_tokens")) or 0
    total = _whole(raw.get("cache_creation_input_tokens")) or 0
    return max(given, total - write_1h) if _is_count(given) and _is_count(total) and _is_count(write_1h) else None


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST  # a bool is no count
