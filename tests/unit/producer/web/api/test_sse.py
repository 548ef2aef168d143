"""A whole Message as events: the SDK puts together what was there, whatever blocks it has."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from producer.simulator.answer.stream import events_of
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


def _put_together(texts: Iterable[str]) -> dict[str, Any]:
    snapshot, buffers = None, dict[int, bytes]()
    for text in texts:
        name, data = text.removesuffix("\n\n").split("\n")
        event = _EVENTS.validate_python(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {event.type}"
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None
    return snapshot.to_dict()


_BLOCKS = pytest.mark.parametrize(
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


@_BLOCKS
def test_the_sdk_puts_the_message_together_again(blocks: list[dict[str, Any]]) -> None:
    message = _message(*blocks)
    together, whole = _put_together(sse.events(message)), Message.model_validate(message).to_dict()
    for name in ("id", "model", "content", "stop_reason"):
        assert json.dumps(together[name], sort_keys=True) == json.dumps(whole[name], sort_keys=True)
    assert {name: together["usage"][name] for name in message["usage"]} == message["usage"]


def _live(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Make the provider's own events: deltas of a few characters, and a last event with the last counters only."""
    lines = [line for event in events_of(json.dumps(message).encode()) for line in event.split(b"\n")]
    return [json.loads(line[len(b"data: ") :]) for line in lines if line.startswith(b"data: ")]


def _after(message: dict[str, Any], live: list[dict[str, Any]]) -> list[str] | None:
    """Return what a client has that read some live events, and then the rest. None if there is no honest rest."""
    sent = sse.SentMessage()
    read = [sse.written(event) for event in live if sent.pass_on(event)]
    rest = sent.rest(message)
    return None if rest is None else [*read, *rest]


@_BLOCKS
def test_from_any_event_on_the_ledger_has_the_rest(blocks: list[dict[str, Any]]) -> None:
    message = _message(*blocks)
    whole, live = Message.model_validate(message).to_dict(), _live(message)
    for count in range(1, len(live) + 1):
        texts = _after(message, live[:count])
        assert texts is not None
        together = _put_together(text for text in texts if not text.startswith("event: ping"))
        assert json.dumps(together["content"], sort_keys=True) == json.dumps(whole["content"], sort_keys=True)
        assert (together["stop_reason"], together["usage"]["output_tokens"]) == ("tool_use", 40)


def test_a_whole_stream_ends_with_the_events_of_the_provider() -> None:
    message = _message({"type": "text", "text": "Because of the rivers."})
    live = _live(message)
    assert _after(message, live) == [sse.written(event) for event in live]


@pytest.mark.parametrize(
    "other",
    [
        [{"type": "text", "text": "Nobody knows."}],
        [{"type": "text", "text": "Because"}],
        [{"type": "thinking", "thinking": "Because of the rivers.", "signature": "x"}],
        [],
    ],
)
def test_another_answer_is_no_rest_of_the_first(other: list[dict[str, Any]]) -> None:
    message = _message({"type": "text", "text": "Because of the rivers, and the rain."})
    live = _live(message)[:-2]
    assert _after(_message(*other), live) is None
    assert _after({**message, "model": "another"}, live) is None


def test_a_whole_turn_keeps_its_end_though_the_job_has_another_answer() -> None:
    live = _live(_message({"type": "text", "text": "Because of the rivers."}))
    assert _after(_message({"type": "text", "text": "Nobody knows."}), live) == [sse.written(event) for event in live]


@pytest.mark.parametrize(
    "text",
    [
        '{"city": "Z\u00fcrich \\"\U0001f600\\" 1", "n": [1, 2.5], "is": true}',
        '{"city":"Z\u00fcrich \\"\U0001f600\\" 1","n":[1,2.5],"is":true}',
        '{"city": "Z\\u00fcrich \\"\\ud83d\\ude00\\" 1", "n": [1,2.5],"is":true}',
        '{\n  "city" : "Z\u00fcrich \\"\U0001f600\\" 1",\n  "n": [\n    1, 2.5 ],\n  "is": true\n}\n',
    ],
)
def test_the_rest_of_a_tools_input_follows_however_the_model_writes_json(text: str) -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": json.loads(text)}
    start, began = (event for event in _live(_message(block)) if event["type"].endswith("_start"))
    for count in range(len(text) + 1):
        delta = {"type": "input_json_delta", "partial_json": text[:count]}
        texts = _after(_message(block), [start, began, {"type": "content_block_delta", "index": 0, "delta": delta}])
        assert texts is not None
        assert _put_together(texts)["content"][0]["input"] == block["input"]


def test_a_number_that_was_whole_is_no_beginning_of_a_longer_one() -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"n": 12}}
    start, began = (event for event in _live(_message(block)) if event["type"].endswith("_start"))
    delta = {"type": "input_json_delta", "partial_json": '{"n": 1 '}
    assert _after(_message(block), [start, began, {"type": "content_block_delta", "index": 0, "delta": delta}]) is None


def test_a_tools_input_that_is_written_otherwise_is_the_same_input() -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": [1, 2]}}
    compact = [json.loads(json.dumps(event).replace("1, 2", "1,2")) for event in _live(_message(block))]
    assert "[1,2]" in str(compact)
    assert _after(_message(block), compact) is not None
    assert _after(_message({**block, "input": {"at": [1]}}), compact[:-2]) is None
