"""A message in its streamed form: server-sent events, from `message_start` to `message_stop`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PIECE = 24  # characters of a delta
_DELTAS = {"text": "text_delta", "thinking": "thinking_delta"}  # field of a block -> the delta that adds to the field
_IN_DELTA = ("stop_reason", "stop_sequence", "stop_details")
# The counters of the last event; the first event has the others, and one token of output.
_AT_END = frozenset(
    ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens", "server_tool_use")
) | {"output_tokens_details", "iterations"}
_ONLY_AT_END = frozenset(("server_tool_use", "output_tokens_details", "iterations"))
_COMMENT = b": a gateway's sign of life\n\n"
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def events_of(body: bytes) -> list[bytes]:
    """Return the events of a message; an empty list for a body that is no message."""
    try:
        message = json.loads(body)
    except ValueError:
        return []
    if not isinstance(message, dict) or message.get("type") != "message":
        return []
    first, *others = map(_written, _events(message))
    return [first, _COMMENT + PING, *others]


def error_event(kind: str, words: str) -> bytes:
    """Return the event of an error in the middle of a stream."""
    return _written({"type": "error", "error": {"type": kind, "message": words}})


def _events(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    usage = message.get("usage") or {}
    begun = {**message, "content": [], **{name: None for name in _IN_DELTA if name in message}}
    if "usage" in message:
        at_start = {name: value for name, value in usage.items() if name not in _ONLY_AT_END}
        begun["usage"] = {**at_start, "output_tokens": 1}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(message.get("content") or ()):
        yield {"type": "content_block_start", "index": index, "content_block": _start_of(block)}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {name: message[name] for name in _IN_DELTA if name in message}
    at_end = {name: value for name, value in usage.items() if name in _AT_END}
    yield {"type": "message_delta", "delta": delta, **({"usage": at_end} if "usage" in message else {})}
    yield {"type": "message_stop"}


def _start_of(block: Mapping[str, Any]) -> dict[str, Any]:
    if "input" in block:
        return {**block, "input": {}}
    return {name: "" if name in _DELTAS or name == "signature" else value for name, value in block.items()}


def _deltas(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, kind in _DELTAS.items():
        for piece in _pieces(block.get(name)):
            yield {"type": kind, name: piece}
    if "input" in block:
        for piece in _pieces(json.dumps(block.get("input"))):
            yield {"type": "input_json_delta", "partial_json": piece}
    if block.get("signature"):
        yield {"type": "signature_delta", "signature": block["signature"]}


def _pieces(text: object) -> Iterator[str]:
    if isinstance(text, str):
        yield from (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


def _written(event: Mapping[str, Any]) -> bytes:
    try:  # the API sends characters, and escapes only halves of surrogate pairs
        data = json.dumps(event, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        data = json.dumps(event).encode()
    return f"event: {event['type']}\ndata: ".encode() + data + b"\n\n"
