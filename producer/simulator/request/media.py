"""Images and documents of a request: the places at which the API reads them, and their tokens."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from typing import Any

IMAGE_TOKENS = 4_784  # the most tokens of an image, at the resolution of the newest models
_PAGE_TOKENS = 3_000 + IMAGE_TOKENS  # the text of a page, and its picture
_UNSEEN_PAGES = 20  # of a document that is elsewhere
_KINDS = {"image/jpeg", "image/png", "image/gif", "image/webp"}
_OF_USER, _OF_OTHERS = {"image", "document", "tool_result"}, {"document"}
_IN_RESULT, _IN_DOCUMENT = {"image", "document"}, {"image"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A block without the files that the API does not read as text, and the tokens of those files."""

    block: dict[str, Any]
    tokens: int = 0


def read_in_message(block: dict[str, Any], role: str) -> Read:
    """Read a block of a message. An image of the assistant, or in the input of a tool, is text as everything else."""
    return _read(block, _OF_USER if role == "user" else _OF_OTHERS)


def _read(block: Any, place: set[str]) -> Read:
    if not isinstance(block, dict) or str(block.get("type")) not in place:
        return Read(block=block)
    kept, tokens = block, 0
    match block:
        case {"type": "image", "source": {"type": "base64", "data": str(data), "media_type": str(kind)} as source} if (
            kind in _KINDS and _file(data)
        ):
            kept, tokens = block | {"source": _without(source)}, IMAGE_TOKENS
        case {"type": "image", "source": {"type": "url" | "file"}}:
            tokens = IMAGE_TOKENS
        case {"type": "document", "source": {"type": "base64", "data": str(data)} as source}:
            kept, tokens = block | {"source": _without(source)}, _pages(data) * _PAGE_TOKENS
        case {"type": "document", "source": {"type": "url" | "file"}}:
            tokens = _UNSEEN_PAGES * _PAGE_TOKENS
        case {"type": "document", "source": {"type": "content", "content": list(parts)} as source}:
            parts, tokens = _each(parts, _IN_DOCUMENT)
            kept = block | {"source": source | {"content": parts}}
        case {"type": "tool_result", "content": list(parts)}:
            parts, tokens = _each(parts, _IN_RESULT)
            kept = block | {"content": parts}
    return Read(block=kept, tokens=tokens)


def _each(parts: list[Any], place: set[str]) -> tuple[list[Any], int]:
    read = [_read(part, place) for part in parts]
    return [one.block for one in read], sum(one.tokens for one in read)


def _without(source: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in source.items() if name != "data"}


def _file(data: str) -> bytes:
    try:
        return b64decode(data, validate=True)
    except ValueError:
        return b""


def _pages(data: str) -> int:
    file = _file(data)
    return max(1, file.count(b"/Type /Page") - file.count(b"/Type /Pages"))
