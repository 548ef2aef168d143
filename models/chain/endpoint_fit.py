"""The parts of a request that an endpoint does not take, and those that work in one account alone."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

Feature = Literal["betas", "fast_mode", "files", "server_tools", "structured_outputs"]
FEATURES: tuple[Feature, ...] = get_args(Feature)
# Tools that the provider runs. A caller runs all others: bash, memory, text_editor, computer.
_SERVER_TOOL = re.compile(r"(?:web_search|web_fetch|code_execution|tool_search_tool|advisor|mcp_toolset)(?:_|$)")
_ONLY_BY_BETA = (  # fields that only the beta's Messages API takes, in anthropic 2.12.0
    *("billing_policy", "compaction", "context_management", "fallback_credit_token", "fallbacks", "mcp_servers"),
    *("output_format", "thread"),
)
_DEEPEST = 4  # a file in a document in a tool's result in a message


def lacking(request: Mapping[str, Any], lacks: frozenset[Feature]) -> str | None:
    """Return the first part of a request that needs a missing feature, and cannot go. Returns None if there is none."""
    needs: Iterator[tuple[Feature, str | None]] = iter(
        (
            ("server_tools", next(_server_tools(request), None)),
            ("files", next((found for found in _bound(request) if found == "a file"), None)),
            ("structured_outputs", "output_config.format" if _config(request).get("format") is not None else None),
            ("betas", next((name for name in _ONLY_BY_BETA if request.get(name) is not None), None)),
        )
    )
    return next((part for feature, part in needs if feature in lacks and part is not None), None)


def bound_to_account(request: Mapping[str, Any]) -> str | None:
    """Return the first part that works in no account but its maker's. Returns None if there is none.

    >>> bound_to_account({"messages": [{"role": "user", "content": "A question."}]}) is None
    True
    """
    return "a container" if request.get("container") is not None else next(_bound(request), None)


def _server_tools(request: Mapping[str, Any]) -> Iterator[str]:
    tools = request.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and _SERVER_TOOL.match(kind):
            yield f"the tool {kind}"
    if request.get("container") is not None:
        yield "a container"


def _bound(request: Mapping[str, Any]) -> Iterator[str]:
    messages = request.get("messages")
    for message in messages if isinstance(messages, list) else ():
        for block in _blocks(message, 0):
            if block.get("type") == "thinking" and block.get("signature"):
                yield "signed thinking"
            if block.get("type") == "redacted_thinking":
                yield "redacted thinking"
            if any(str(name).startswith("encrypted_") for name in block):
                yield "the encrypted result of a tool"
            if block.get("type") == "container_upload" or _source(block).get("type") == "file":
                yield "a file"


def _blocks(holder: object, depth: int) -> Iterator[Mapping[str, Any]]:
    """Yield the blocks of a message, and those inside of them. The input of a tool is the caller's own."""
    content = holder.get("content") if isinstance(holder, dict) else None
    if depth > _DEEPEST:
        return
    for block in content if isinstance(content, list) else (content,):
        if isinstance(block, dict):
            yield block
            yield from _blocks(block, depth + 1)
            yield from _blocks(_source(block), depth + 1)


def _source(block: Mapping[str, Any]) -> Mapping[str, Any]:
    source = block.get("source")
    return source if isinstance(source, dict) else {}


def _config(request: Mapping[str, Any]) -> Mapping[str, Any]:
    config = request.get("output_config")
    return config if isinstance(config, dict) else {}
