"""The tokens of one reply, as the API counts them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from models.text import line

_MOST = 2**31 - 1  # the most that a counter's column in the ledger holds
_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens")
COUNTERS = (*_TOKENS, "web_searches")
_HOUR = "1h"
_ALWAYS = ("input_tokens",)
_WRITTEN = ("cache_creation_input_tokens", "cache_creation")
_TOLD_BY = {
    "cache_read_tokens": ("cache_read_input_tokens",),
    "cache_write_5m_tokens": _WRITTEN,
    "cache_write_1h_tokens": _WRITTEN,
}  # the counters that a total may leave out, and the fields that report them
_BESIDE = ("compaction", "advisor_message")  # passes that the totals leave out


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one reply. The four input counters are disjoint.

    `thinking_tokens` is the part of `output_tokens` spent on reasoning, shown but not priced again. `raw` is the
    reply's own usage object: counters unknown today survive there. `is_sure`: all figures could be read, and each total
    agrees with its parts. `asked_1h`: written tokens without a lifetime are priced as of an hour.
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
    is_sure: bool = True
    asked_1h: bool = False

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not, by which a price tier is chosen."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def tier(self) -> dict[str, str | None]:
        """The service tier, speed and region, by which a price is chosen."""
        return {"service_tier": self.service_tier, "speed": self.speed, "inference_geo": self.inference_geo}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass over a model inside a reply; `model` is None for the model that answered."""

    model: str | None
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """The counters of one object. If a total and its parts disagree, the larger counts, without `is_sure`."""

    counters: Mapping[str, int]
    is_sure: bool


def usage_from(raw: Mapping[str, Any], *, lifetimes: Collection[str] = ("5m",)) -> Usage | None:
    """Read the API's usage object. Returns None if a counter is missing, negative, absurd or no whole number.

    A whole float is a count. If a total and its parts disagree, the larger is counted. Cache writes without a lifetime
    have the longest that the request asked for, one of `lifetimes`. For a reply of several passes (`iterations`), the
    counters cover every pass; the reply's own totals leave some out.
    """
    whole = _figures(raw, lifetimes)
    if whole is None:
        return None
    thinking = _object(raw.get("output_tokens_details")).get("thinking_tokens")
    usage = Usage(
        **whole.counters,
        thinking_tokens=thinking if _is_count(thinking) else None,
        service_tier=line(raw.get("service_tier")),
        speed=line(raw.get("speed")),
        inference_geo=line(raw.get("inference_geo")),
        raw=raw,
        is_sure=whole.is_sure and _agree(raw, whole, lifetimes),
        asked_1h=_HOUR in lifetimes,
    )
    return _counting(usage, _summed(passes(usage)))


def usage_kept(row: Mapping[str, Any]) -> Usage | None:
    """Read the usage object of an attempt's row again. The row's counters show the cache lifetime of the request."""
    if not isinstance(row["usage"], dict) or (usage := usage_from(row["usage"])) is None:
        return None
    if (row["cache_write_1h_tokens"] or 0) > usage.cache_write_1h_tokens:
        usage = usage_from(row["usage"], lifetimes=[_HOUR]) or usage
    return with_searches(usage, row["web_searches"] or 0)


def with_searches(usage: Usage, seen: int) -> Usage:
    """Return a usage with the web searches seen in an answer, if the usage counts fewer."""
    return usage if seen <= usage.web_searches else replace(usage, web_searches=seen, is_sure=False)


def passes(usage: Usage) -> tuple[Pass, ...]:
    """Split a reply's usage into passes that are priced one by one. Together they have all of the usage's counts."""
    lifetimes = [_HOUR] if usage.asked_1h else []
    listed = [(entry, counts) for entry, counts in _listed(usage.raw, lifetimes) if counts]
    whole = _figures(usage.raw, lifetimes) if listed else None
    if whole is None:
        return (Pass(model=None, usage=usage),)
    each = [(line(entry.get("model")), counts.counters) for entry, counts in listed]
    summed = _added(counters for _, counters in each)
    rest = {name: max(0, count - summed[name]) for name, count in whole.counters.items()}
    if any(rest[name] for name in _TOKENS):  # tokens that no pass counts
        each.append((None, rest))
    made = [Pass(model=model, usage=_counting(usage, {**counters, "web_searches": 0})) for model, counters in each]
    # Searches are counted for the reply as a whole.
    return (replace(made[0], usage=replace(made[0].usage, web_searches=usage.web_searches)), *made[1:])


def _agree(raw: Mapping[str, Any], whole: _Figures, lifetimes: Collection[str]) -> bool:
    """Return whether all passes are legible and add up to the totals.

    The totals count all passes, all passes of the answering model, or one of its passes.
    """
    if not raw.get("iterations"):
        return True
    listed = _listed(raw, lifetimes)
    known = [(entry, counts) for entry, counts in listed if counts is not None and counts.is_sure]
    if not listed or len(known) < len(listed):
        return False
    own = [counts.counters for entry, counts in known if entry.get("type") not in _BESIDE]
    every = [counts.counters for _, counts in known]
    totals = [_added(every), _added(own), *own[:1], *own[-1:]]
    fields = [name for name in _TOKENS if any(raw.get(field) is not None for field in _TOLD_BY.get(name, _ALWAYS))]
    return any(all(total[name] == whole.counters[name] for name in fields) for total in totals)


def _listed(raw: Mapping[str, Any], lifetimes: Collection[str]) -> list[tuple[Mapping[str, Any], _Figures | None]]:
    """List the passes. An illegible pass has no figures."""
    listed = raw.get("iterations")
    entries = listed if isinstance(listed, list) else []
    return [(_object(entry), _figures(_object(entry), lifetimes)) for entry in entries]


def _counting(usage: Usage, counters: Mapping[str, Any]) -> Usage:
    return replace(usage, **counters)


def _added(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found = list(each)
    return {name: sum(counters[name] for counters in found) for name in COUNTERS}


def _summed(parts: tuple[Pass, ...]) -> dict[str, int]:
    return {name: min(_MOST, sum(getattr(part.usage, name) for part in parts)) for name in COUNTERS}


def _figures(raw: Mapping[str, Any], lifetimes: Collection[str]) -> _Figures | None:
    written, served, thought = (
        _object(raw.get(name)) for name in ("cache_creation", "server_tool_use", "output_tokens_details")
    )
    five, hour = (_known_value(written.get(f"ephemeral_{name}_input_tokens")) for name in ("5m", _HOUR))
    counters = {
        "input_tokens": _whole(raw.get("input_tokens")),
        "output_tokens": _whole(raw.get("output_tokens")),
        "cache_read_tokens": _known_value(raw.get("cache_read_input_tokens")),
        "cache_write_5m_tokens": five,
        "cache_write_1h_tokens": hour,
        "web_searches": _known_value(served.get("web_search_requests")),
    }
    total = _known_value(raw.get("cache_creation_input_tokens"))
    if not all(map(_is_count, [*counters.values(), total])):
        return None
    thinking = thought.get("thinking_tokens")
    least = thinking if _is_count(thinking) else 0
    is_split = any(value is not None for value in written.values())
    is_told = raw.get("cache_creation_input_tokens") is not None
    is_sure = (
        all(isinstance(raw.get(name), dict | None) for name in ("cache_creation", "server_tool_use"))
        and least <= counters["output_tokens"]
        and (total == five + hour or not is_told if is_split else not total or len(lifetimes) <= 1)
    )
    counters["cache_write_1h_tokens" if _HOUR in lifetimes else "cache_write_5m_tokens"] += max(0, total - five - hour)
    counters["output_tokens"] = max(counters["output_tokens"], least)
    return _Figures(counters=counters, is_sure=is_sure) if all(map(_is_count, counters.values())) else None


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


def _known_value(value: Any) -> Any:
    return 0 if value is None else _whole(value)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= _MOST  # a bool is no count
