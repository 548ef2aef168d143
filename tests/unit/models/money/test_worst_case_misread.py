"""Bodies that are built to be misread: the bound counts no text as an image, and leaves no image out."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.money.price_book import PriceBook
from models.money.pricing import parse_costs
from models.money.worst_case import worst_case_usd
from producer.simulator.request.checks import RefusedError, read_prompt
from producer.simulator.request.media import IMAGE_TOKENS
from producer.simulator.request.versions import OLD, Head

_MODEL = "claude-opus-4-7"
_WINDOW = 1_000_000
_BY_TOKENS = PriceBook(parse_costs(f"{_MODEL}:1:0:1:1:1"))  # so that micro-dollars are tokens of the prompt
_NOW = datetime(2026, 11, 25, tzinfo=UTC)
_TEXT = "What is said here is text, however it is called. " * 2_000
_LONG = 95_000
_FILE = b64encode(b"\x89PNG" * 30_000).decode()
_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _FILE}}
_LINKED = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
_PLAIN = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": _TEXT}}
_PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": _FILE}}


def _asked(content: Any, *, role: str = "user", **more: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": "Go on."}, {"role": role, "content": content}]
    return {"model": _MODEL, "max_tokens": 10, "messages": [*turns, {"role": "user", "content": "Go on."}], **more}


def _most(body: dict[str, Any]) -> int:
    bound = worst_case_usd(_MODEL, body, _BY_TOKENS, window=_WINDOW, at=_NOW)
    assert bound is not None
    return int(bound * 1_000_000)


def _charged(body: dict[str, Any]) -> int:
    """Count the tokens that a provider charges whose tokenizer is as bad as one can be; none for what it refuses."""
    try:
        return read_prompt(json.dumps(body).encode(), Head(version=OLD), bytes_per_token=1).tokens
    except RefusedError:
        return 0


def _used(**given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": "toolu_1", "name": "look", "input": given}


def _result(content: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": content}


def _made_of(*blocks: Any, **more: Any) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "content", "content": [*blocks]}, **more}


@pytest.mark.parametrize(
    "body",
    [
        _asked([_used(type="image", source=_TEXT)], role="assistant"),
        _asked([_used(picture=_IMAGE)], role="assistant"),
        _asked([_used(deep={"deeper": [[_IMAGE | {"text": _TEXT}]]})], role="assistant"),
        _asked([_IMAGE], role="assistant"),
        _asked([{"type": "image", "source": _TEXT}]),
        _asked([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _TEXT}}]),
        _asked([{"type": "image", "source": {"type": "base64", "media_type": "text/plain", "data": _FILE}}]),
        _asked([{"type": "image", "source": {"type": "base64", "data": _FILE}}]),
        _asked([{"type": "image", "source": {"type": "url", "url": _TEXT}}]),
        _asked([_IMAGE | {"text": _TEXT}]),
        _asked([{"type": "image", "source": _IMAGE["source"] | {"message": _TEXT}}]),  # type: ignore[operator]
        _asked([_IMAGE | {"cache_control": {"type": "ephemeral", "message": _TEXT}}]),
        _asked([_result(_IMAGE)]),
        _asked([_result([[_IMAGE]])]),
        _asked([_result([_result([_IMAGE])])]),
        _asked([_result([_made_of(_made_of(_IMAGE))])]),
        _asked([_result([{"type": "text", "text": _TEXT}])]),
        _asked([_result(_TEXT)]),
        _asked([{"type": "of_next_year", "content": [_IMAGE]}]),
        _asked([{"type": "search_result", "source": "s", "title": "t", "content": [_IMAGE]}]),
        _asked([_PLAIN]),
        _asked([_made_of({"type": "text", "text": _TEXT})]),
        _asked("Go on.", tools=[{"name": "look", "input_schema": {"default": _IMAGE}}]),
        _asked("Go on.", tools=[{"name": "look", "input_schema": _IMAGE | {"text": _TEXT}}]),
        _asked("Go on.", system=[{"type": "text", "text": _TEXT}]),
        _asked("Go on.", output_config={"format": {"type": "json_schema", "schema": {"default": _IMAGE}}}),
    ],
)
def test_what_is_only_called_an_image_is_text_at_its_length(body: dict[str, Any]) -> None:
    assert _LONG <= _most(body) < 1.2 * len(json.dumps(body)) + 10_000
    assert _charged(body) <= _most(body)


@pytest.mark.parametrize("image", [_IMAGE, _LINKED, {"type": "image", "source": {"type": "file", "file_id": "file_1"}}])
@pytest.mark.parametrize("place", [lambda one: [one], lambda one: [_result([one])], lambda one: [_made_of(one)]])
def test_an_image_where_the_api_reads_one_is_counted_as_one(place: Any, image: Any) -> None:
    body = _asked(place(image))
    assert IMAGE_TOKENS < _charged(body) < _most(body) < 7_000


@pytest.mark.parametrize(
    "content",
    [
        [_PDF],
        [_result([_PDF])],
        [_made_of(_PDF)],
        [_PLAIN | {"citations": {"enabled": True}}],
        [{"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}],
        [{"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "content": _PDF}}],
    ],
)
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_a_document_whose_text_is_elsewhere_may_fill_the_window(content: Any, role: str) -> None:
    assert _most(_asked(content, role=role)) == _WINDOW
    assert _charged(_asked(content, role=role)) <= _WINDOW


def test_a_document_without_citations_is_as_long_as_its_text() -> None:
    assert _most(_asked([_PLAIN | {"citations": {"enabled": False}}])) < 2 * len(_TEXT)


def test_a_request_may_be_nested_as_deep_as_json_can_be_read() -> None:
    block: Any = _IMAGE
    for _ in range(300):
        block = {"type": "of_next_year", "content": [block]}
    assert _most(_asked([block])) > len(_FILE)


_WORDS = st.text(max_size=40) | st.sampled_from([_TEXT[:3_000], _FILE[:3_000], "橋が閉鎖された" * 300])
_KINDS = st.sampled_from(
    ["image", "document", "text", "tool_use", "tool_result", "of_next_year", "base64", "url", "file"]
)
_NAMES = st.sampled_from(["type", "source", "data", "media_type", "content", "text", "input", "url", "citations"])
_LEAVES = _WORDS | _KINDS | st.booleans() | st.integers() | st.none() | st.sampled_from(["image/png", _IMAGE, _LINKED])


def _grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    blocks = st.lists(inner, max_size=3)
    return (
        blocks
        | st.dictionaries(_NAMES, inner, max_size=4)
        | st.builds(lambda kind, more: {**more, "type": kind}, _KINDS, st.dictionaries(_NAMES, inner, max_size=3))
        | st.builds(_result, blocks | inner)
        | st.builds(lambda parts: _made_of(*parts), blocks)
        | st.builds(lambda given: _used(given=given), inner)
    )


_BLOCKS = st.recursive(_LEAVES, _grown, max_leaves=8).map(
    lambda one: one if isinstance(one, dict) and isinstance(one.get("type"), str) else _used(given=one)
)
_CONTENT = st.lists(_BLOCKS, min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(content=_CONTENT, answered=_CONTENT, schema=_BLOCKS)
def test_no_body_is_charged_more_tokens_than_its_bound(content: Any, answered: Any, schema: Any) -> None:
    turns = [{"role": role, "content": message} for role, message in (("user", content), ("assistant", answered))]
    tools = [{"name": "look", "input_schema": schema}]
    body = {**_asked("Go on.", tools=tools), "messages": [*turns, {"role": "user", "content": content}]}
    assert _charged(body) <= _most(body)
