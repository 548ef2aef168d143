"""A streamed reply: server-sent events, and the Message that an unstreamed call would have returned."""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from pydantic_core import from_json

from models.chain.provider_error import read_error
from models.text import line
from worker.provider.error_outcome import STATUS_OF
from worker.provider.reply import Begun, Broken, Received

_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")  # a CR at the very end may be the first half of a CR LF
_MESSAGE_EVENTS = frozenset(
    ("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta")
)
_STATUS_OF = {**STATUS_OF, "timeout_error": 504, "overloaded_error": 529}  # of the same error as an HTTP reply
_OK, _ANY_ERROR = 200, 500
_INPUT = "input"
_MOST_BYTES = 64 * 2**20  # of an event: twice the longest request of the API

_log = logging.getLogger("stepdown")

Sign = Literal["", "alive", "progress"]
OnEvent = Callable[[Mapping[str, Any]], None]  # receives each event of a stream, on the worker's loop, in order


class StreamError(ValueError):
    """A stream that breaks the protocol, with the reason. The stream may have been billed."""


class EventParser:
    """Reads the events of a stream from its bytes, however the network splits the bytes."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # the begun line, joined once: a line may come in thousands of chunks
        self._cr = b""  # the last byte of a chunk, if a CR
        self._held = 0  # bytes of the begun event
        self._name = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[Mapping[str, Any]]:
        """Yield the events that these bytes complete; a comment is an event without fields. Raises StreamError."""
        *ends, rest = _LINE_END.split(self._cr + chunk)
        self._cr = rest[-1:] if rest.endswith(b"\r") else b""
        for end in ends:
            self._hold(end)
            text, self._rest = b"".join(self._rest), []
            if not text and self._data:
                yield from self._event()
            elif text.startswith(b":"):
                yield {}
            else:
                self._field(text)
            if not self._data:
                self._held = 0
        self._hold(rest.removesuffix(b"\r"))

    def _hold(self, piece: bytes) -> None:
        self._rest.append(piece)
        self._held += len(piece)
        if self._held > _MOST_BYTES:
            raise StreamError(f"an event has more than {_MOST_BYTES:,} bytes")

    def _field(self, text: bytes) -> None:
        name, _, value = text.partition(b":")
        value = value.removeprefix(b" ")
        match name.removeprefix(b"\xef\xbb\xbf"):
            case b"data":
                self._data.append(value)
            case b"event":
                self._name = value
            case b"":
                self._name = b""

    def _event(self) -> Iterator[Mapping[str, Any]]:
        data, name = b"\n".join(self._data), self._name.decode(errors="replace")
        self._data, self._name = [], b""
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict):
            yield event if isinstance(event.get("type"), str) else {**event, "type": name}
        elif name in _MESSAGE_EVENTS:
            raise StreamError(f"an event {name} of {len(data)} bytes holds no JSON object")


class StreamedMessage:
    """Puts a Message together from its events. Unknown events, fields and deltas do no harm."""

    def __init__(self) -> None:
        self.is_whole = False
        self.is_counted = False  # the usage counts all of the content
        self.has_pinged = False  # nothing between here and the API drops its pings
        self.error: Mapping[str, Any] | None = None  # the error event that ended the stream
        self._message: dict[str, Any] | None = None
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[tuple[int, str], list[str]] = {}  # joined once: a text may have 100,000 pieces
        self._open: set[int] = set()

    def add(self, event: Mapping[str, Any]) -> Sign:
        """Add an event. Returns whether the event brought the message forward. Raises StreamError."""
        kind, is_progress = event.get("type"), True
        try:
            match kind:
                case "message_start":
                    self._start_message(event["message"])
                case "content_block_start":
                    self._start_block(event["index"], dict(event["content_block"]))
                case "content_block_delta":
                    is_progress = self._add_delta(event["index"], event["delta"])
                case "content_block_stop":
                    is_progress = self._stop_block(event["index"])
                case "message_delta":
                    is_progress = self._change_message(event)
                case "message_stop":
                    self.is_whole = self._message is not None and not self._open
                case "error":
                    self.error = event
                case "ping" | None:  # an event without a type is a comment
                    self.has_pinged, is_progress = True, False
                case _:  # an event of tomorrow
                    is_progress = False
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise StreamError(f"an event {kind} does not fit the events before: {type(error).__name__}") from error
        return "progress" if is_progress else "alive"

    @property
    def has_begun(self) -> bool:
        """Return whether the message has begun: from then on, the call may be billed."""
        return self._message is not None

    def body(self) -> bytes:
        """Return the whole Message of an unstreamed call. The halves of a surrogate pair become one."""
        content = [self._blocks[index] for index in sorted(self._blocks)]
        return json.dumps({**(self._message or {}), "content": content}, separators=(",", ":")).encode()

    def begun(self) -> Begun | None:
        """Return the known part of a message. Returns None before `message_start`, or without a legible part."""
        message = self._message or {}
        usage, model = message.get("usage"), line(message.get("model"))
        if not isinstance(usage, dict) or model is None:
            return None
        # A refusal before any output is free, and a fallback inside the API leaves open which model is billed.
        has_output = bool(self._blocks) and all(block.get("type") != "fallback" for block in self._blocks.values())
        return Begun(message_id=line(message.get("id")), served_model=model, usage=usage, has_output=has_output)

    def _start_message(self, message: Mapping[str, Any]) -> None:
        if self._message is not None:
            raise ValueError("a second message")
        self._message = dict(message)

    def _start_block(self, index: int, block: dict[str, Any]) -> None:
        if self._message is None or type(index) is not int:
            raise ValueError("no message to add to")
        if index in self._blocks:
            raise ValueError("a second block of this index")
        self.is_whole = self.is_counted = False  # also after a stop reason
        self._blocks[index] = block
        self._open.add(index)
        if block.get("type") == "fallback":  # the message is relabeled, as the unstreamed one is
            self._message["model"] = block["to"]["model"]

    def _add_delta(self, index: int, delta: Mapping[str, Any]) -> bool:
        """Add to a block. Returns False for an empty delta."""
        if index not in self._open:
            raise ValueError("no open block to add to")
        self.is_counted, block = False, self._blocks[index]
        match delta["type"]:
            case "input_json_delta":
                self._pieces.setdefault((index, _INPUT), []).append(delta["partial_json"])
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
            case "signature_delta":
                block["signature"] = delta["signature"]
            case _:  # text grows, all else is replaced
                for name, value in delta.items():
                    if isinstance(value, str) and isinstance(block.get(name), str) and name != "type":
                        self._pieces.setdefault((index, name), []).append(value)
                    elif name != "type":
                        block[name] = value
        return any(value for name, value in delta.items() if name != "type")

    def _stop_block(self, index: int) -> bool:
        block, was_open = self._blocks[index], index in self._open
        self._open.discard(index)
        for of, name in [key for key in self._pieces if key[0] == index]:
            text = "".join(self._pieces.pop((of, name)))
            if name != _INPUT:
                block[name] += text
            elif text:
                block[name] = _parsed(text)
        return was_open

    def _change_message(self, event: Mapping[str, Any]) -> bool:
        message = self._message
        if message is None:
            raise ValueError("no message")
        before = dict(message)
        beside = {name: value for name, value in event.items() if name not in ("type", "delta", "usage")}
        _overwrite(message, {**event["delta"], **beside})
        # Each count is a total so far. A count that is left out is the one of the start.
        message["usage"], counts = dict(message.get("usage") or {}), event.get("usage") or {}
        _overwrite(message["usage"], counts)
        self.is_counted = self.is_counted or counts.get("output_tokens") is not None
        # With its stop reason a message has all of its content and its last usage.
        self.is_whole = self.is_whole or (message.get("stop_reason") is not None and not self._open)
        return message != before


def _overwrite(table: dict[str, Any], newer: Mapping[str, Any]) -> None:
    for name, value in newer.items():
        if value is not None or name not in table:
            table[name] = value


def _parsed(text: str) -> Any:
    """Return the input of a tool. An input that max_tokens cut has all legible values, as in the SDK."""
    for read in (json.loads, partial(from_json, allow_partial=True)):
        with suppress(ValueError, RecursionError):
            return read(text)
    return {"INVALID_JSON": text}  # the API's own form for an input that is no JSON


class IncomingStream:
    """Reads a stream of bytes into a Message, and passes each event on to a listener."""

    def __init__(self, on_event: OnEvent | None = None) -> None:
        self.headers: Mapping[str, str] = {}
        self.message = StreamedMessage()
        self._parser = EventParser()
        self._on_event = on_event

    def feed(self, chunk: bytes) -> Sign:
        """Read more bytes. Returns the best sign of life among their events. Raises StreamError."""
        signs = [self._add(event) for event in self._parser.feed(chunk)]
        return "progress" if "progress" in signs else "alive" if signs else ""

    def ended(self, end: Broken) -> Received | Broken:
        """Return the reply that the stream amounts to, if the call ended so. An error before any message is a reply."""
        message, error = self.message, self.message.error
        if message.is_whole:
            begun, body = None if message.is_counted else message.begun(), message.body()
            return Received(status=_OK, headers=self.headers, body=body, latency_ms=end.latency_ms, begun=begun)
        if error is not None:
            body = json.dumps(error).encode()
            read = read_error(body)
            if not message.has_begun:
                status = _STATUS_OF.get(read.kind, _ANY_ERROR)
                return Received(status=status, headers=self.headers, body=body, latency_ms=end.latency_ms)
            end = replace(end, error_type=read.kind, detail=read.message or "the stream ended with an error")
        return replace(end, headers=self.headers, begun=message.begun())

    def _add(self, event: Mapping[str, Any]) -> Sign:
        sign = self.message.add(event)
        if event and self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:  # noqa: BLE001 - a paid call outlives its listener
                self._on_event = None
                _log.exception("a listener of a stream failed, and receives no more events")
        return sign
