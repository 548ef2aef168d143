"""A request taken apart: is it valid, how long is it, and which of its blocks may be cached."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.simulator.catalog import Model

CHARACTERS_PER_TOKEN = 4
Ttl = Literal["5m", "1h"]
Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The prompt up to the end of one block: its digest, its length in tokens, and how long to keep it."""

    digest: bytes
    tokens: int
    ttl: Ttl | None


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A valid request: `body` is the parsed JSON, `model` the one it asks for."""

    body: Body
    model: Model

    @property
    def max_tokens(self) -> int:
        """The most output tokens the caller will take."""
        return int(self.body["max_tokens"])

    @cached_property
    def parts(self) -> list[tuple[str, Any]]:
        """Tools, system and messages in the order they are cached: (text, cache_control) of each block."""
        return list(_parts(self.body))

    @cached_property
    def tokens(self) -> int:
        """The length of the whole prompt, about a quarter of its characters."""
        return tokens_of(sum(len(text) for text, _ in self.parts))

    @property
    def is_continued(self) -> bool:
        """Whether the caller sends a paused turn back to have it finished."""
        return is_paused(self.body["messages"][-1])

    @cached_property
    def text(self) -> str:
        """The words of the last message, or of the message before a paused turn."""
        messages = self.body["messages"]
        content = messages[-2 if self.is_continued else -1]["content"]
        if isinstance(content, str):
            return content
        return "\n".join(str(block.get("text", "")) for block in content)

    def says(self, words: str) -> bool:
        """Tell whether any block of the prompt contains these words."""
        return any(words in text for text, _ in self.parts)

    @property
    def is_marked(self) -> bool:
        """Whether a block asks to be cached."""
        return any(control for _, control in self.parts)

    def blocks(self) -> Sequence[Block]:
        """List the growing prefixes of the prompt, one for each block."""
        digest, characters, blocks = blake2b(digest_size=16), 0, []
        for text, control in self.parts:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
            characters += len(text)
            ttl: Ttl | None = None
            if control:
                ttl = "1h" if control.get("ttl") == "1h" else "5m"
            blocks.append(Block(digest=digest.digest(), tokens=tokens_of(characters), ttl=ttl))
        return blocks


def is_paused(message: Body) -> bool:
    """Return whether a message is a turn of the assistant with a server tool. The API goes on with such a turn."""
    content = message["content"]
    blocks = content if isinstance(content, list) else ()
    return message["role"] == "assistant" and any(block["type"] == "server_tool_use" for block in blocks)


def tokens_of(characters: int) -> int:
    """Turn a length in characters into tokens, rounded up, at least one."""
    return max(1, -(-characters // CHARACTERS_PER_TOKEN))


def _parts(body: Body) -> Iterator[tuple[str, Any]]:
    parts = [(_as_json(tool), tool.get("cache_control")) for tool in body.get("tools") or ()]
    parts += _content_parts(body.get("system") or ())
    for message in body["messages"]:
        parts += _content_parts(message["content"])
    if body.get("cache_control"):  # automatic caching marks the last block
        parts[-1] = (parts[-1][0], body["cache_control"])
    yield from parts


def _content_parts(content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, str):
        yield content, None
        return
    for block in content:
        text = block["text"] if block.get("type") == "text" else _as_json(block)
        yield text, block.get("cache_control")


def _as_json(block: Body) -> str:
    """Spell a block out; whether it is marked does not change what it says."""
    return json.dumps({name: value for name, value in block.items() if name != "cache_control"})
