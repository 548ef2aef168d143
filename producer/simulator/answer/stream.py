"""A message in its streamed form: server-sent events, from `message_start` to `message_stop`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PIECE = 24  # characters of a delta
_DELTAS = {"text": "text_delta", "thinking": "thinking_delta"}  # field of a block -> the delta that adds to the field
_IN_DELTA = ("stop_reason", "stop_sequence", "stop_details")


def events_of(body: bytes) -> list[bytes]:
    """Return the events of a message; an empty list for a body that is no message."""
    try:
        message = json.loads(body)
    except ValueError:
        return []
    if not isinstance(message, dict) or message.get("type") != "message":
        return []
    return [_written(event) for event in _events(message)]


def error_event(kind: str, words: str) -> bytes:
    """Return the event of an error in the middle of a stream."""
    return _written({"type": "error", "error": {"type": kind, "message": words}})


def _events(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    usage = message.get("usage") or {}
    begun = {**message, "content": [], **{name: None for name in _IN_DELTA if name in message}}
    yield {"type": "message_start", "message": {**begun, "usage": {**usage, "output_tokens": 1}}}
    yield {"type": "ping"}
    for index, block in enumerate(message.get("content") or ()):
        yield {"type": "content_block_start", "index": index, "content_block": _start_of(block)}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {name: message[name] for name in _IN_DELTA if name in message}
    yield {"type": "message_delta", "delta": delta, "usage": usage}
    yield {"type": "message_stop"}


def _start_of(block: Mapping[str, Any]) -> dict[str, Any]:
    if block.get("type") == "tool_use":
        return {**block, "input": {}}
    return {name: "" if name in _DELTAS or name == "signature" else value for name, value in block.items()}


def _deltas(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, kind in _DELTAS.items():
        for piece in _pieces(block.get(name)):
            yield {"type": kind, name: piece}
    if block.get("type") == "tool_use":
        for piece in _pieces(json.dumps(block.get("input"))):
            yield {"type": "input_json_delta", "partial_json": piece}
    if block.get("signature"):
        yield {"type": "signature_delta", "signature": block["signature"]}


def _pieces(text: object) -> Iterator[str]:
    if isinstance(text, str):
        yield from (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


def _written(event: Mapping[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
