"""What the API refuses before it generates anything."""

from __future__ import annotations

import json

import pytest

from tests.simulator.checks import LARGEST_BODY, RefusedError, read_prompt

_GOOD: dict[str, object] = {
    "model": "claude-opus-4-7",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "Hello"}],
}


def _refusal(**changes: object) -> RefusedError:
    body = {name: value for name, value in (_GOOD | changes).items() if value is not ...}
    with pytest.raises(RefusedError) as caught:
        read_prompt(json.dumps(body).encode(), has_key=True)
    return caught.value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ...}, "model: Field required"),
        ({"model": 7}, "model: Input should be a valid string"),
        ({"max_tokens": ...}, "max_tokens: Field required"),
        ({"max_tokens": "10"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
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
        ({"temperature": 0.5}, "`temperature` is deprecated for this model."),
        ({"top_p": 0.5}, "`top_p` is deprecated for this model."),
        ({"top_k": 5}, "`top_k` is deprecated for this model."),
        ({"stream": True}, "non-streaming requests only"),
        ({"system": 5}, "system: Input should be a valid list"),
        ({"tools": ["x"]}, "tools: Input should be a valid list"),
        ({"system": [{"type": "text", "text": "x", "cache_control": 5}]}, "cache_control: Input should be a valid"),
    ],
)
def test_a_wrong_field_is_an_invalid_request(changes: dict[str, object], message: str) -> None:
    refusal = _refusal(**changes)
    assert (refusal.error.status, refusal.error.type) == (400, "invalid_request_error")
    assert message in refusal.error.message


def test_older_models_take_sampling_parameters() -> None:
    body = _GOOD | {"model": "claude-sonnet-4-6", "temperature": 0.5}
    assert read_prompt(json.dumps(body).encode(), has_key=True).model.id == "claude-sonnet-4-6"


def test_an_unknown_model_is_not_found() -> None:
    refusal = _refusal(model="claude-opus-9")
    assert (refusal.error.status, refusal.error.type) == (404, "not_found_error")
    assert (refusal.error.message, refusal.model) == ("model: claude-opus-9", "claude-opus-9")


def test_a_request_without_a_key_is_an_authentication_error() -> None:
    with pytest.raises(RefusedError) as caught:
        read_prompt(b"{}", has_key=False)
    assert (caught.value.error.status, caught.value.error.type) == (401, "authentication_error")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"model": "\xff"}'])
def test_a_body_that_is_no_json_object_is_an_invalid_request(raw: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        read_prompt(raw, has_key=True)
    assert caught.value.error.status == 400


def test_a_body_above_32_mb_is_too_large() -> None:
    with pytest.raises(RefusedError) as caught:
        read_prompt(b" " * (LARGEST_BODY + 1), has_key=True)
    assert (caught.value.error.status, caught.value.error.type) == (413, "request_too_large")


def test_a_prompt_is_too_long_for_a_small_window_and_fits_a_larger_one() -> None:
    messages = [{"role": "user", "content": "x" * 800_004}]
    refusal = _refusal(model="claude-haiku-4-5", messages=messages)
    assert refusal.word == "400_too_long"
    assert refusal.error.message == "prompt is too long: 200001 tokens > 200000 maximum"
    body = json.dumps(_GOOD | {"messages": messages}).encode()
    assert read_prompt(body, has_key=True).tokens == 200_001
