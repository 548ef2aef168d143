"""Writes a Message as the events of the provider's stream: all of the Message, or the rest after live events."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

PING = 'event: ping\ndata: {"type": "ping"}\n\n'
_Event = dict[str, Any]
_ENDS = ["message_delta", "message_stop"]
_TEXTS = {  # the field of each delta that grows
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
_SPACES = re.compile(r'("(?:[^"\\]|\\.)*"?)|\s+')  # between the strings of a JSON text, which may end in a string


def events(message: Mapping[str, Any]) -> Iterator[str]:
    """Write a Message from message_start to message_stop. The Message begins empty, and grows block by block."""
    for event in _events(message):
        yield written(event)


class SentMessage:
    """The part of a Message that a client has as events. The end of a message waits for the end of its job."""

    def __init__(self) -> None:
        self._id = self._model = None
        self._blocks: dict[int, _SentBlock] = {}
        self._held: list[Mapping[str, Any]] = []  # the last events as the provider sent them

    def pass_on(self, event: Mapping[str, Any]) -> bool:
        """Take an event of the provider's. Returns whether the event goes to the client now."""
        match event:
            case {"type": "message_start", "message": dict(message)}:
                self._id, self._model = message.get("id"), message.get("model")
            case {"type": "content_block_start", "index": int(index), "content_block": dict(block)}:
                self._blocks[index] = _SentBlock(block)
                if block.get("type") == "fallback":  # the API relabels the message
                    self._model = block["to"]["model"]
            case {"type": "content_block_delta", "index": int(index), "delta": dict(delta)} if index in self._blocks:
                self._blocks[index].add(delta)
            case {"type": "content_block_stop", "index": int(index)} if index in self._blocks:
                self._blocks[index].is_stopped = True
            case {"type": "message_delta" | "message_stop"}:
                self._held.append(event)
                return False
        return True

    def rest(self, message: Mapping[str, Any]) -> list[str] | None:
        """Write the events from here to the end of a job's Message.

        A whole turn of the provider's keeps its own end, even if the job went on to another answer. Returns None for a
        part of a turn with which the Message does not begin.
        """
        has_end = [each["type"] for each in self._held] == _ENDS
        left = self._left(message)
        if left is None:
            return [*map(written, self._held)] if has_end else None
        is_same = has_end and self._id == message.get("id")
        return [written(event) for event in (*left, *(self._held if is_same else _end_of(message)))]

    def _left(self, message: Mapping[str, Any]) -> list[_Event] | None:
        content = message.get("content") or []
        if self._model != message.get("model") or len(self._blocks) > len(content):
            return None
        left = list[_Event]()
        for index, block in enumerate(content):
            sent = self._blocks.get(index)
            events = _block_events(index, block) if sent is None else sent.rest(index, block)
            if events is None:
                return None
            left += events
        return left


class _SentBlock:
    """The part of a block that a client has."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.is_stopped = False
        self._start = start
        self._texts: dict[str, str] = {}  # by delta
        self._citations = len(start.get("citations") or ())

    def add(self, delta: Mapping[str, Any]) -> None:
        """Add a delta."""
        kind = str(delta.get("type"))
        if kind == "citations_delta":
            self._citations += 1
        elif isinstance(text := delta.get(_TEXTS.get(kind, "")), str):
            self._texts[kind] = self._texts.get(kind, "") + text

    def rest(self, index: int, block: Mapping[str, Any]) -> list[_Event] | None:
        """Return the events from here to the end of a block. Returns None if the block begins otherwise."""
        if block.get("type") != self._start.get("type"):
            return None
        if self.is_stopped and "input" in block:  # the same JSON may be written in many ways
            return [] if _read(self._texts.get("input_json_delta") or "{}") == block["input"] else None
        whole = _block(block)[1]
        cited = [delta for delta in whole if delta["type"] == "citations_delta"]
        left = cited[self._citations :]
        for delta in whole[len(cited) :]:
            name = _TEXTS[delta["type"]]
            sent = self._sent(delta["type"])
            rest = (
                _rest_of_json(sent, block["input"]) if name == "partial_json" else _rest_of(sent, _joined(delta[name]))
            )
            if rest is None:
                return None
            left += [{**delta, name: rest}] if rest else []
        if self.is_stopped:
            return None if left else []
        return [
            *({"type": "content_block_delta", "index": index, "delta": delta} for delta in left),
            {"type": "content_block_stop", "index": index},
        ]

    def _sent(self, kind: str) -> str:
        begun = self._start.get(_TEXTS[kind])
        return _joined((begun if isinstance(begun, str) else "") + self._texts.get(kind, ""))


def _joined(text: str) -> str:
    """Make one character of the two halves of a surrogate pair, which may be in two deltas."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _rest_of(sent: str, text: str) -> str | None:
    return text[len(sent) :] if text.startswith(sent) else None


def _rest_of_json(sent: str, value: Any) -> str | None:
    """Return the rest of a JSON text that begins with any spaces, and with escapes or without."""
    begun = _SPACES.sub(r"\1", sent)
    for is_ascii in (True, False):
        whole = json.dumps(value, ensure_ascii=is_ascii, separators=(",", ":"))
        if (rest := _rest_of(begun, whole)) is not None and _read(sent + rest) == value:
            return rest
    return None


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


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
        yield from _block_events(index, block)
    yield from _end_of(message)


def _block_events(index: int, block: Mapping[str, Any]) -> list[_Event]:
    shell, deltas = _block(block)
    return [
        {"type": "content_block_start", "index": index, "content_block": shell},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _end_of(message: Mapping[str, Any]) -> list[_Event]:
    usage = message.get("usage") or {}
    ended = {name: message.get(name) for name in ("stop_reason", "stop_sequence", "stop_details", "container")}
    return [
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 0, **usage}},
        {"type": "message_stop"},
    ]


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
