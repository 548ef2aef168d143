"""What the API refuses before it generates anything."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from anthropic.types import AnthropicBetaParam

from producer.simulator.request.checks import LARGEST_BODY, RefusedError, read_prompt
from producer.simulator.request.versions import BETAS, OLD, Head, head_of

_OLD = Head(version=OLD)
_GOOD: dict[str, object] = {
    "model": "claude-opus-4-7",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "Hello"}],
}


def _refusal(**changes: object) -> RefusedError:
    body = {name: value for name, value in (_GOOD | changes).items() if value is not ...}
    with pytest.raises(RefusedError) as caught:
        read_prompt(json.dumps(body).encode(), Head())
    return caught.value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ...}, "model: Field required"),
        ({"model": 7}, "model: Input should be a valid string"),
        ({"max_tokens": ...}, "max_tokens: Field required"),
        ({"max_tokens": "10"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"max_tokens": 128_001}, "max_tokens: 128001 > 128000, which is the maximum allowed number"),
        ({"messages": ...}, "messages: Field required"),
        ({"messages": "hello"}, "messages: Input should be a valid list"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": ["hello"]}, "messages.0: Input should be a valid dictionary"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role: Input should be 'user'"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "user", "content": ""}]}, "user messages must have non-empty content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0.type: Field"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'first message must use the "user" role'),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "("}]},
            "does not support assistant message prefill",
        ),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"system": 5}, "system: Input should be a valid list"),
        ({"tools": ["x"]}, "tools: Input should be a valid list"),
        ({"system": [{"type": "text", "text": "x", "cache_control": 5}]}, "cache_control: Input should be a valid"),
    ],
)
def test_a_wrong_field_is_an_invalid_request(changes: dict[str, object], message: str) -> None:
    refusal = _refusal(**changes)
    assert (refusal.error.status, refusal.error.type) == (400, "invalid_request_error")
    assert message in refusal.error.message


@pytest.mark.parametrize(("name", "default"), [("temperature", 1), ("top_p", 1), ("top_k", 5)])
@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-7", "claude-opus-5-5"])
def test_sampling_is_for_the_older_version_and_the_older_models(model: str, name: str, default: float) -> None:
    body = json.dumps(_GOOD | {"model": model, name: default}).encode()
    with pytest.raises(RefusedError, match=f"`{name}` is not supported by version 2026-10-21"):
        read_prompt(body, Head())
    if model in ("claude-sonnet-4-6", "claude-haiku-4-5"):
        assert read_prompt(body, _OLD).body[name] == default
        return
    with pytest.raises(RefusedError, match=f"`{name}` is deprecated for this model"):
        read_prompt(body, _OLD)


_DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A map."}}
_CITED = {"type": "text", "text": "Go on.", "citations": [{"type": "char_location", "cited_text": "x"}]}


@pytest.mark.parametrize(
    ("answered", "asked", "message"),
    [
        ([_DOCUMENT], "Go on.", "messages.1.content.0: document blocks are not supported in assistant messages."),
        ("A map.", [_CITED], "messages.2.content.0.text.citations: Extra inputs are not permitted"),
    ],
)
def test_documents_of_the_assistant_and_citations_of_the_user_are_for_the_older_version(
    answered: object, asked: object, message: str
) -> None:
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": answered}]
    messages = [*turns, {"role": "user", "content": asked}]
    assert _refusal(messages=messages).error.message == message
    assert read_prompt(json.dumps(_GOOD | {"messages": messages}).encode(), _OLD).body["messages"] == messages


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (Head(version=None), "anthropic-version: header is required"),
        (Head(version="2099-01-01"), 'anthropic-version: "2099-01-01" is not a valid version'),
        (Head(betas=("pdfs-2024-09-25", "wings-2026-01-01")), "Unexpected value(s) `wings-2026-01-01` for the"),
    ],
)
def test_a_wrong_header_is_an_invalid_request(head: Head, message: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read_prompt(json.dumps(_GOOD).encode(), head)
    assert (caught.value.error.status, caught.value.error.type) == (400, "invalid_request_error")
    assert message in caught.value.error.message


def test_the_known_betas_are_those_of_the_sdk_and_of_clients_of_before() -> None:
    _, words = get_args(AnthropicBetaParam)
    before = {"claude-code-20250219", "effort-2025-11-24", "fine-grained-tool-streaming-2025-05-14"}
    assert frozenset(get_args(words)) | before == BETAS


@pytest.mark.parametrize("field", [{"mcp_servers": []}, {"context_management": {"edits": []}}, {"fallbacks": []}])
def test_a_field_of_a_beta_is_refused_without_it(field: dict[str, Any]) -> None:
    ((name, _),) = field.items()
    assert _refusal(**field).error.message == f"{name}: Extra inputs are not permitted"
    betas = ("mcp-client-2025-11-20", "compact-2026-01-12", "server-side-fallback-2026-07-01")
    assert read_prompt(json.dumps(_GOOD | field).encode(), Head(betas=betas)).body[name] == field[name]


def test_the_beta_of_a_long_window_is_refused_for_a_model_without_one() -> None:
    head = Head(betas=("context-1m-2025-08-07",))
    with pytest.raises(RefusedError) as caught:
        read_prompt(json.dumps(_GOOD | {"model": "claude-haiku-4-5"}).encode(), head)
    assert "long context" in caught.value.error.message


def test_headers_are_read_as_the_sdk_and_others_send_them() -> None:
    sent = {"authorization": "Bearer k", "anthropic-version": "2026-10-21", "anthropic-beta": "a, b"}
    assert head_of(sent) == Head(betas=("a", "b"))
    assert head_of({"x-api-key": "k"}) == Head(version=None)
    assert not head_of({"authorization": "Bearer "}).has_key


def test_a_paused_turn_is_gone_on_with_by_models_that_take_no_prefill() -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": [search]}]
    assert read_prompt(json.dumps(_GOOD | {"messages": messages}).encode(), Head()).is_continued


@pytest.mark.parametrize("kind", ["any", "tool"])
def test_later_fables_cannot_be_forced_to_use_a_tool(kind: str) -> None:
    choice = {"tool_choice": {"type": kind, "name": "look_up"}, "tools": [{"name": "look_up", "input_schema": {}}]}
    for model in ("claude-fable-5-1", "claude-fable-5-2"):
        assert "is not supported for this model" in _refusal(model=model, **choice).error.message
    for model in ("claude-fable-5", "claude-opus-4-7"):
        assert read_prompt(json.dumps(_GOOD | {"model": model} | choice).encode(), Head()).model.id == model


def test_an_unknown_model_is_not_found() -> None:
    refusal = _refusal(model="claude-opus-9")
    assert (refusal.error.status, refusal.error.type) == (404, "not_found_error")
    assert (refusal.error.message, refusal.model) == ("model: claude-opus-9", "claude-opus-9")


def test_a_request_without_a_key_is_an_authentication_error() -> None:
    with pytest.raises(RefusedError) as caught:
        read_prompt(b"{}", Head(has_key=False))
    assert (caught.value.error.status, caught.value.error.type) == (401, "authentication_error")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"model": "\xff"}'])
def test_a_body_that_is_no_json_object_is_an_invalid_request(raw: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        read_prompt(raw, Head())
    assert caught.value.error.status == 400


def test_a_body_above_32_mb_is_too_large() -> None:
    with pytest.raises(RefusedError) as caught:
        read_prompt(b" " * (LARGEST_BODY + 1), Head())
    assert (caught.value.error.status, caught.value.error.type) == (413, "request_too_large")


def test_a_prompt_is_too_long_for_a_small_window_and_fits_a_larger_one() -> None:
    messages = [{"role": "user", "content": "x" * 800_004}]
    refusal = _refusal(model="claude-haiku-4-5", messages=messages)
    assert refusal.word == "400_too_long"
    assert refusal.error.message == "prompt is too long: 200001 tokens > 200000 maximum"
    body = json.dumps(_GOOD | {"messages": messages}).encode()
    assert read_prompt(body, Head()).tokens == 200_001


_PIXELS = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo" + "A" * 8_001}
_IMAGE = {"type": "image", "source": _PIXELS}


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ([_IMAGE], range(4_784, 4_900)),
        ([{"type": "tool_result", "tool_use_id": "t", "content": [_IMAGE]}], range(4_784, 4_900)),
        ([{"type": "document", "source": {"type": "content", "content": [_IMAGE]}}], range(4_784, 4_900)),
        ([{"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}], range(4_784, 4_900)),
        ([_DOCUMENT], range(20, 60)),
        ([{"type": "document", "source": {"type": "base64", "data": "JVBERg=="}}], range(7_784, 7_900)),
        ([{"type": "document", "source": {"type": "file", "file_id": "file_1"}}], range(155_680, 155_800)),
        ([{"type": "tool_use", "id": "t", "name": "look", "input": _IMAGE}], range(2_000, 2_100)),
        ([{"type": "image", "source": _PIXELS | {"data": "no file! " * 1_000}}], range(2_250, 2_350)),
        ([{"type": "search_result", "source": "s", "title": "t", "content": [_IMAGE]}], range(2_000, 2_100)),
        ("é" * 400, range(200, 220)),
    ],
)
def test_images_and_documents_are_counted_where_the_api_reads_them_and_all_else_is_text(
    content: object, tokens: range
) -> None:
    body = json.dumps(_GOOD | {"messages": [{"role": "user", "content": content}]}).encode()
    assert read_prompt(body, Head()).tokens in tokens
    assert read_prompt(body, Head(), bytes_per_token=1).tokens >= tokens.start
