"""A parsed request: its validity, its length, and its blocks that may be cached."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

from producer.simulator.request.media import read_in_message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from producer.simulator.request.catalog import Model

BYTES_PER_TOKEN = 4
Ttl = Literal["5m", "1h"]
Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The prompt up to the end of a block: digest, length in tokens, and lifetime in the cache."""

    digest: bytes
    tokens: int
    ttl: Ttl | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A block after reading: its text, its cache control, and the tokens of files that are no text."""

    text: str
    control: Any = None
    file_tokens: int = 0

    @property
    def size(self) -> int:
        """The size of the text in bytes."""
        return len(self.text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A valid request: `body` is the parsed JSON, `model` the requested model."""

    body: Body
    model: Model
    bytes_per_token: int = BYTES_PER_TOKEN

    @property
    def max_tokens(self) -> int:
        """The most output tokens the caller will take."""
        return int(self.body["max_tokens"])

    @cached_property
    def parts(self) -> list[Part]:
        """Tools, system and messages in the order they are cached, a part for each block."""
        return list(_parts(self.body))

    @cached_property
    def tokens(self) -> int:
        """The length of the whole prompt in tokens: text by bytes, images and documents by their own tokens."""
        return self._tokens(sum(part.size for part in self.parts), sum(part.file_tokens for part in self.parts))

    @property
    def ttl(self) -> Ttl | None:
        """The longest cache lifetime that a block asks for; None without any."""
        asked = {part.control.get("ttl") for part in self.parts if part.control}
        return "1h" if "1h" in asked else "5m" if asked else None

    @property
    def is_continued(self) -> bool:
        """Whether the caller sends back a paused turn for the model to finish."""
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
        """Return whether any block of the prompt contains these words."""
        return any(words in part.text for part in self.parts)

    @property
    def is_marked(self) -> bool:
        """Whether a block asks to be cached."""
        return any(part.control for part in self.parts)

    def blocks(self) -> Sequence[Block]:
        """List the growing prefixes of the prompt, a prefix for each block."""
        digest, size, files, blocks = blake2b(digest_size=16), 0, 0, []
        for part in self.parts:
            digest.update(part.text.encode("utf-8", "surrogatepass") + b"\0")
            size, files = size + part.size, files + part.file_tokens
            ttl: Ttl | None = None
            if part.control:
                ttl = "1h" if part.control.get("ttl") == "1h" else "5m"
            blocks.append(Block(digest=digest.digest(), tokens=self._tokens(size, files), ttl=ttl))
        return blocks

    def _tokens(self, size: int, file_tokens: int) -> int:
        return tokens_of(size, self.bytes_per_token) + file_tokens


def is_paused(message: Body) -> bool:
    """Return whether a message is a turn of the assistant with a server tool. The API goes on with such a turn."""
    content = message["content"]
    blocks = content if isinstance(content, list) else ()
    return message["role"] == "assistant" and any(block["type"] == "server_tool_use" for block in blocks)


def tokens_of(size: int, bytes_per_token: int = BYTES_PER_TOKEN) -> int:
    """Return a length in bytes as tokens, rounded up, at least 1."""
    return max(1, -(-size // bytes_per_token))


def _parts(body: Body) -> Iterator[Part]:
    parts = [Part(text=_as_json(tool), control=tool.get("cache_control")) for tool in body.get("tools") or ()]
    if form := _form_of_answer(body):
        parts.append(Part(text=json.dumps(form)))  # the model reads the form, too
    parts += _content_parts(body.get("system") or (), "system")
    for message in body["messages"]:
        parts += _content_parts(message["content"], message["role"])
    if body.get("cache_control"):  # automatic caching marks the last block
        parts[-1] = replace(parts[-1], control=body["cache_control"])
    yield from parts


def _content_parts(content: Any, role: str) -> Iterator[Part]:
    if isinstance(content, str):
        yield Part(text=content)
        return
    for block in content:
        read = read_in_message(block, role)
        text = block["text"] if block.get("type") == "text" else _as_json(read.block)
        yield Part(text=text, control=block.get("cache_control"), file_tokens=read.tokens)


def _form_of_answer(body: Body) -> Any:
    config = body.get("output_config")
    return config.get("format") if isinstance(config, dict) else body.get("output_format")


def _as_json(block: Body) -> str:
    """Return a block as JSON; a cache mark does not change the text."""
    return json.dumps({name: value for name, value in block.items() if name != "cache_control"}, ensure_ascii=False)
