"""The length of a prompt before anybody has counted its tokens, by a ratio of characters to tokens."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CHARACTERS_A_TOKEN = 3.5  # English has 3.5 to 4
BYTES_A_TOKEN = 3  # of UTF-8; in Chinese three bytes are one character, and about one token
_FILE_CHARACTERS_A_TOKEN = 20
_IMAGE_TOKENS = 1_600


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSize:
    """Characters of system, messages and tools; images, without characters; documents, their file's characters counted.

    `is_marked`: a part of the prompt asks to be read from, or written to, the prompt cache.
    """

    characters: int
    images: int = 0
    documents: int = 0
    is_marked: bool = False

    @property
    def is_text(self) -> bool:
        """Whether the characters are the whole prompt: no image, no document."""
        return not (self.images or self.documents)


def prompt_size(params: Mapping[str, Any]) -> PromptSize:
    """Measure Messages API parameters.

    >>> prompt_size({"system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]}).characters
    11
    """
    parts = [*_parts(params.get("system")), *_tools(params.get("tools"))]
    messages = params.get("messages")
    for message in messages if isinstance(messages, list | tuple) else ():
        parts += _parts(message.get("content"))
    return PromptSize(
        characters=sum(part.characters for part in parts),
        images=sum(part.images for part in parts),
        documents=sum(part.documents for part in parts),
        is_marked=bool(params.get("cache_control")) or any(part.is_marked for part in parts),
    )


def usual_tokens(size: PromptSize, *, a_token: float = CHARACTERS_A_TOKEN) -> int:
    """Estimate the tokens of a prompt, at `a_token` characters each; a photo is 1,600 tokens.

    A token of a document's file is counted at 20 characters, roughly the length of its pages as text.

    >>> usual_tokens(PromptSize(characters=7000))
    2000
    """
    text = size.characters / (_FILE_CHARACTERS_A_TOKEN if size.documents else a_token)
    return round(text) + size.images * _IMAGE_TOKENS


def most_tokens(text: str) -> int:
    """Estimate the tokens of a text, rather too many, so that a text made to fit does fit.

    >>> most_tokens("Begin at the beginning."), most_tokens("從頭開始")
    (8, 4)
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_A_TOKEN)


def _parts(content: object) -> Iterator[PromptSize]:
    left = [content]
    while left:  # no recursion: a request may be nested as deep as JSON can be read
        match left.pop():
            case str() as text:
                yield PromptSize(characters=len(text))
            case list() | tuple() as several:
                left += several
            case Mapping() as block:
                size, within = _block(block)
                yield size
                left.append(within)


def _block(block: Mapping[str, Any]) -> tuple[PromptSize, object]:
    """Measure a block but for the content of a result, which is returned beside the size."""
    is_marked, kind, text = bool(block.get("cache_control")), str(block.get("type")), block.get("text")
    match kind:
        case "text" if isinstance(text, str):
            return PromptSize(characters=len(text), is_marked=is_marked), None
        case "image":
            return PromptSize(characters=0, images=1, is_marked=is_marked), None
        case "document":
            return PromptSize(characters=_written(block), documents=1, is_marked=is_marked), None
    # An "image" in the input of a tool is text: only a result holds blocks of the API's own.
    within = block.get("content") if kind.endswith("_result") else None
    around = block if within is None else {name: value for name, value in block.items() if name != "content"}
    return PromptSize(characters=_written(around), is_marked=is_marked), within


def _tools(tools: object) -> Iterator[PromptSize]:
    for tool in tools if isinstance(tools, list | tuple) else ():
        if isinstance(tool, Mapping):
            yield PromptSize(characters=_written(tool), is_marked=bool(tool.get("cache_control")))


def _written(part: Mapping[str, Any]) -> int:
    fields = {name: value for name, value in part.items() if name != "cache_control"}
    return len(json.dumps(fields, ensure_ascii=False))
