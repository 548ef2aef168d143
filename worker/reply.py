"""What came back: the bytes as they arrived, and what we made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.outcome import Outcome
from models.pricing import Usage

_LINE = 200
_MOST = 2**31 - 1  # what a counter's column in the ledger holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A complete HTTP response; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """No complete response. `unreachable`: no byte of the request can have left; else the call may be billed."""

    how: Literal["unreachable", "cut", "timed_out"]
    detail: str
    latency_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A Message with its usage: answered, truncated or refused."""

    outcome: Outcome
    message: Mapping[str, Any]
    usage: Usage
    served_model: str
    stop_reason: str
    message_id: str | None
    request_id: str | None
    latency_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No Message. `said` is the provider's own sentence, or ours about the connection."""

    outcome: Outcome
    said: str
    latency_ms: int
    http_status: int | None = None
    error_type: str | None = None
    error_code: str | None = None
    retry_after_s: float | None = None
    request_id: str | None = None


def usage_from(raw: Mapping[str, Any]) -> Usage | None:
    """Read the API's usage object; None where a counter is missing, negative, absurd or no whole number.

    Cache writes without a breakdown by lifetime are five-minute ones, the API's default.
    """
    written = _object(raw.get("cache_creation"))
    write_1h = written.get("ephemeral_1h_input_tokens") or 0
    counters = {
        "input_tokens": raw.get("input_tokens"),
        "output_tokens": raw.get("output_tokens"),
        "cache_read_tokens": raw.get("cache_read_input_tokens") or 0,
        "cache_write_5m_tokens": _write_5m(raw, written, write_1h),
        "cache_write_1h_tokens": write_1h,
        "web_searches": _object(raw.get("server_tool_use")).get("web_search_requests") or 0,
    }
    if not all(_is_count(counter) for counter in counters.values()):
        return None
    thinking = _object(raw.get("output_tokens_details")).get("thinking_tokens")
    return Usage(
        **counters,
        thinking_tokens=thinking if _is_count(thinking) else None,
        service_tier=line(raw.get("service_tier")),
        speed=line(raw.get("speed")),
        inference_geo=line(raw.get("inference_geo")),
        raw=raw,
    )


def _write_5m(raw: Mapping[str, Any], written: Mapping[str, Any], write_1h: Any) -> Any:
    given = written.get("ephemeral_5m_input_tokens")
    if given is not None:
        return given
    total = raw.get("cache_creation_input_tokens") or 0
    return total - write_1h if _is_count(total) and _is_count(write_1h) else None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST  # a bool is no count


def line(value: object) -> str | None:
    """Make a provider's word fit to keep in a column: printable, at most 200 characters; None stays None."""
    if value is None or value == "":
        return None
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(value))[:_LINE]
