"""The results file: a line for each item in UTF-8, or with the faults that a script asks for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from producer.simulator.simulation import Reply

_OK = 200
_UNKNOWN = b"unknown-item"


def kind_of(reply: Reply) -> str:
    """Return the kind of a result: a message, or an error of the API."""
    return "succeeded" if reply.status == _OK else "errored"


def line_of(custom_id: str, kind: str, body: bytes = b"") -> bytes:
    """Write a line; a body is the message or the error of a live reply."""
    name = {"succeeded": "message", "errored": "error"}.get(kind)
    told = b"" if name is None else f',"{name}":'.encode() + _as_utf_8(body)
    return f'{{"custom_id":{json.dumps(custom_id)},"result":{{"type":"{kind}"'.encode() + told + b"}}\n"


def with_faults(lines: Sequence[bytes], word: str, line_bytes: int) -> Iterator[bytes]:
    """Yield the lines of a download; blanks at the end make a line `line_bytes` long."""
    middle = len(lines) // 2
    for position, line in enumerate(lines):
        padded = line[:-1].ljust(line_bytes - 1) + b"\n" if len(line) < line_bytes else line
        match word if position == middle else "":
            case "line_missing":
                continue
            case "line_doubled":
                yield padded
            case "line_unknown":
                yield line_of(_UNKNOWN.decode(), "expired")
            case "line_bad":
                padded = line[: len(line) // 2] + b"\n"
        yield padded[: len(padded) // 2] if word == "line_cut" and position == len(lines) - 1 else padded


def inside_a_line(lines: Sequence[bytes]) -> int:
    """Return a number of bytes that ends in the middle of the middle line."""
    middle = len(lines) // 2
    return sum(map(len, lines[:middle])) + sum(map(len, lines[middle : middle + 1])) // 2


def _as_utf_8(body: bytes) -> bytes:
    """Replace escapes by characters. Halves of surrogate pairs stay escapes."""
    if b"\\u" not in body:
        return body
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return body
