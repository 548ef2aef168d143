"""Writes a whole Message as the events of the provider's stream."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

PING = 'event: ping\ndata: {"type": "ping"}\n\n'
_Event = dict[str, Any]


def events(message: Mapping[str, Any]) -> Iterator[str]:
    """Write a Message from message_start to message_stop. The Message begins empty, and grows block by block."""
    for event in _events(message):
        yield written(event)


def written(event: Mapping[str, Any]) -> str:
    """Return an event in the format of the wire."""
    return f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n"


def _events(message: Mapping[str, Any]) -> Iterator[_Event]:
    usage = message.get("usage") or {}
    begun = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 0},
    }
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(message.get("content") or []):
        shell, deltas = _block(block)
        yield {"type": "content_block_start", "index": index, "content_block": shell}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {name: message.get(name) for name in ("stop_reason", "stop_sequence", "stop_details", "container")}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 0, **usage}}
    yield {"type": "message_stop"}


def _block(block: Mapping[str, Any]) -> tuple[_Event, list[_Event]]:
    """Split a block into its beginning and its deltas. A block of an unknown type begins whole."""
    match block:
        case {"type": "text", "text": str(text)}:
            citations = block.get("citations") or []
            cited = [{"type": "citations_delta", "citation": citation} for citation in citations]
            # null stays null: the SDK makes a list with the first citation
            shell = {**block, "text": ""} | ({"citations": []} if citations else {})
            return shell, [*cited, {"type": "text_delta", "text": text}]
        case {"type": "thinking", "thinking": str(thinking)}:
            signature = {"type": "signature_delta", "signature": block.get("signature") or ""}
            return {**block, "thinking": "", "signature": ""}, [
                {"type": "thinking_delta", "thinking": thinking},
                signature,
            ]
        case {"type": "tool_use" | "server_tool_use" | "mcp_tool_use", "input": given}:
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": json.dumps(given)}]
        case _:
            return dict(block), []
