"""Whatever the provider sends, it becomes a reply or a failure that the ledger can keep."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.outcome import Outcome
from models.schema.attempt import closing_row
from models.text import line
from tests.support.plays.walk_scene import OnePrice, message
from worker.provider.attempt_cost import closing_of
from worker.provider.classify import classify
from worker.provider.reply import Broken, Failure, Received, Reply

pytestmark = pytest.mark.slow
_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)  # lone surrogates, too
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_ERROR = st.fixed_dictionaries(
    {},
    optional={
        "type": st.just("error") | _ANYTHING,
        "error": _ANYTHING
        | st.fixed_dictionaries(
            {},
            optional={
                "type": _ANYTHING,
                "message": _ANYTHING
                | st.sampled_from(["prompt is too long", "spend limit", "Exception - {'type': 'error'}", "a model: {"]),
                "details": _ANYTHING
                | st.fixed_dictionaries({"error_code": _ANYTHING | st.just("contract_spend_limit_reached")}),
            },
        ),
    },
)
_USAGE_FIELDS = (
    *("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation"),
    *("server_tool_use", "output_tokens_details", "service_tier", "speed", "inference_geo"),
)
_PARTS = st.dictionaries(
    st.sampled_from(
        ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "web_search_requests", "thinking_tokens"]
    ),
    _ANYTHING | st.integers(0, 10**12),
)
_USAGE = st.fixed_dictionaries({}, optional=dict.fromkeys(_USAGE_FIELDS, st.integers(-1, 10**12) | _PARTS | _ANYTHING))
_MESSAGE = st.builds(
    lambda usage, changes: message() | {"usage": {"input_tokens": 1, "output_tokens": 1} | usage} | changes,
    _USAGE,
    st.dictionaries(st.sampled_from(["id", "model", "stop_reason", "content", "type"]), _ANYTHING, max_size=1),
)
_BODIES = st.binary(max_size=200) | (_ANYTHING | _ERROR | _MESSAGE).map(lambda value: json.dumps(value).encode())
_HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "date", "location", "server", "request-id", "content-type"]),
    _TEXT | st.floats().map(str) | st.datetimes().map(str) | st.just("http://[broken"),
    max_size=3,
)
_INTEGER = range(-(2**31), 2**31)
_ENDS = st.builds(
    Received,
    status=st.just(200) | st.integers(100, 999),
    headers=_HEADERS,
    body=_BODIES,
    latency_ms=st.integers(0, 10**6),
)


@given(_ENDS)
@settings(max_examples=600)
def test_any_status_headers_and_bytes_become_a_reply_or_a_failure(end: Received) -> None:
    reported = classify(end)
    assert not isinstance(reported, Failure) or reported.outcome not in {
        "answered",
        "truncated",
        "unfinished",
        "unclear",
    }
    if isinstance(reported, Reply):
        assert reported.outcome in {"answered", "truncated", "refused", "unfinished", "unclear"}
        assert end.status == 200
        assert reported.usage.input_tokens >= 0
        assert reported.served_model


@given(_ENDS)
@settings(max_examples=600)
def test_whatever_came_fits_into_the_ledgers_columns(end: Received) -> None:
    closing = closing_of("a", classify(end), OnePrice(), at=datetime.now(UTC))
    row: dict[str, Any] = closing_row(closing, is_late=False)
    row.pop("usage", None)
    assert len(error := row.pop("error") or "") <= 500
    assert error.isprintable()
    for name, value in row.items():
        if isinstance(value, str):
            assert len(value) <= 200
            assert "\0" not in value
            assert value.encode().decode() == value, name
        if type(value) is int:
            assert value in _INTEGER, name
    assert closing.cost_usd is None or 0 <= closing.cost_usd * 10**9 < 2**63


@given(_ENDS)
@settings(max_examples=600)
def test_only_the_apis_own_error_blames_the_key_and_nothing_but_a_200_or_a_gateway_may_be_billed(end: Received) -> None:
    reported = classify(end)
    if reported.outcome in {"unauthorized", "spend_limit"}:
        assert b"error" in end.body
    if isinstance(reported, Failure) and end.status in range(300, 500):
        assert closing_of("a", reported, OnePrice(), at=datetime.now(UTC)).cost_status == "free"


@given(st.sampled_from(["unreachable", "cut", "timed_out"]), _TEXT)
def test_any_broken_call_becomes_a_failure(how: Any, detail: str) -> None:
    failure = classify(Broken(how=how, detail=detail, latency_ms=1))
    assert isinstance(failure, Failure)
    assert failure.outcome == Outcome(how)


@given(_ANYTHING)
def test_a_line_is_printable_and_short(value: Any) -> None:
    text = line(value)
    assert text is None or (text.isprintable() and 0 < len(text) <= 200)
