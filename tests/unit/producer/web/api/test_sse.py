"""A whole Message as events: the SDK puts together what was there, whatever blocks it has."""

import json
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from producer.web.api import sse

_EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_CITED = {
    "type": "char_location",
    "cited_text": "salt",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 4,
}


def _message(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-7",
        "content": list(blocks),
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 40, "cache_read_input_tokens": 2},
    }


def _put_together(message: dict[str, Any]) -> dict[str, Any]:
    snapshot, buffers = None, dict[int, bytes]()
    for text in sse.events(message):
        name, data = text.removesuffix("\n\n").split("\n")
        event = _EVENTS.validate_python(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {event.type}"
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None
    return snapshot.to_dict()


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "text", "text": "Because of the rivers.\n\nAnd \ud83d\ude00"}],
        [{"type": "text", "text": ""}],
        [{"type": "text", "text": "salt", "citations": [_CITED, _CITED]}],
        [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": ["the sea", 1.5, None]}},
        ],
        [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}],
        [],
    ],
)
def test_the_sdk_puts_the_message_together_again(blocks: list[dict[str, Any]]) -> None:
    message = _message(*blocks)
    together, whole = _put_together(message), Message.model_validate(message).to_dict()
    for name in ("id", "model", "content", "stop_reason"):
        assert json.dumps(together[name], sort_keys=True) == json.dumps(whole[name], sort_keys=True)
    assert {name: together["usage"][name] for name in message["usage"]} == message["usage"]
