"""The headers that the API checks, and the rules of a request that depend on the API's version and betas.

Source: anthropic 2.12.0; the known betas are those of that SDK, and those of its clients of 2025. A field
that only the SDK's beta client takes is a 400 without its beta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from producer.simulator.request.catalog import Model

OLD, NEW = "2023-06-01", "2026-10-21"
_SAMPLING = ("temperature", "top_p", "top_k")
_BETAS = """
admin-user-sign-out-2026-10-08
advisor-tool-2026-03-01 agent-memory-2026-07-22 analytics-usage-cost-2026-08-24 cache-diagnosis-2026-04-07
ce-claude-code-managed-settings-2026-10-06 ce-plugins-2026-09-01 ce-user-management-2026-07-13
code-execution-2025-05-22 compact-2026-01-12 compact-2026-09-04 computer-use-2024-10-22 computer-use-2025-01-24
computer-use-2025-11-24 context-1m-2025-08-07 context-management-2025-06-27 dev-full-thinking-2025-05-14
dreaming-2026-04-21 experimental-claude-tag-2026-10-21 extended-cache-ttl-2025-04-11 fallback-credit-2026-06-01
fallback-credit-2026-07-01 fast-mode-2026-02-01 files-api-2025-04-14 inline-tools-2026-09-15
interleaved-thinking-2025-05-14 managed-agents-2026-04-01 mcp-client-2025-04-04 mcp-client-2025-11-20
mcp-client-2026-09-15 mcp-tunnels-2026-06-22 message-batches-2024-09-24 message-threads-2026-08-12
mid-conversation-output-config-2026-07-01 mid-conversation-system-clear-at-2026-08-21
mid-conversation-tool-changes-2026-07-01 model-context-window-exceeded-2025-08-26 output-128k-2025-02-19
output-300k-2026-03-24 pdfs-2024-09-25 prompt-caching-2024-07-31 server-side-fallback-2026-06-01
server-side-fallback-2026-07-01 skills-2025-10-02 spend-limit-reads-2026-09-26 structured-outputs-2025-11-13
task-budgets-2026-03-13 telemetry-destinations-2026-08-11 thinking-binding-controls-2026-08-01
thinking-display-updates-2026-08-18 thinking-token-count-2026-05-13 token-counting-2024-11-01
token-efficient-tools-2025-02-19 user-profiles-2026-03-24 user-profiles-2026-08-18 user-profiles-2026-09-04
user-profiles-billing-2026-10-01 webhooks-2026-10-07
claude-code-20250219 effort-2025-11-24 fine-grained-tool-streaming-2025-05-14
"""
_NEEDS_BETA = {
    "context_management": ("context-management-", "compact-"),
    "fallbacks": ("server-side-fallback-",),
    "mcp_servers": ("mcp-client-",),
}
_LONG_CONTEXT, _LONG = "context-1m-2025-08-07", 1_000_000
BETAS = frozenset(_BETAS.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The headers that the API checks; `version` is None if the header is missing."""

    has_key: bool = True
    version: str | None = NEW
    betas: tuple[str, ...] = ()


def head_of(headers: Mapping[str, str]) -> Head:
    """Read the headers of a request; the key may be a bearer's or an `x-api-key`."""
    bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
    betas = headers.get("anthropic-beta", "").split(",")
    return Head(
        has_key=bool(bearer or headers.get("x-api-key", "").strip()),
        version=headers.get("anthropic-version"),
        betas=tuple(beta.strip() for beta in betas if beta.strip()),
    )


def wrong_head(head: Head) -> str | None:
    """Return the complaint about the version or the betas. Returns None if both are known."""
    if head.version is None:
        return "anthropic-version: header is required"
    if head.version not in (OLD, NEW):
        return f'anthropic-version: "{head.version}" is not a valid version'
    if unknown := [beta for beta in head.betas if beta not in BETAS]:
        named = ", ".join(f"`{beta}`" for beta in unknown)
        return f"Unexpected value(s) {named} for the `anthropic-beta` header."
    return None


def wrong_for_head(body: Mapping[str, Any], model: Model, head: Head) -> str | None:
    """Return the complaint about a body that is valid but for its headers. Returns None if the headers allow it."""
    version = head.version
    for name, betas in _NEEDS_BETA.items():
        if body.get(name) is not None and not any(beta.startswith(betas) for beta in head.betas):
            return f"{name}: Extra inputs are not permitted"
    if _LONG_CONTEXT in head.betas and model.context < _LONG:
        return "The long context beta is not available for this model."
    for name in _SAMPLING:
        if body.get(name) is not None and version == NEW:
            return f"`{name}` is not supported by version {NEW} of the API."
        if body.get(name) is not None and not model.sampling:
            return f"`{name}` is deprecated for this model."
    return None if version == OLD else next(_old_blocks(body["messages"]), None)


def _old_blocks(messages: list[Any]) -> Iterator[str]:
    """Return the complaints about blocks that only the older version takes."""
    for position, message in enumerate(messages):
        content = message["content"]
        for at, block in enumerate(content if isinstance(content, list) else ()):
            where = f"messages.{position}.content.{at}"
            if message["role"] == "assistant" and block["type"] == "document":
                yield f"{where}: document blocks are not supported in assistant messages."
            if message["role"] == "user" and block["type"] == "text" and block.get("citations") is not None:
                yield f"{where}.text.citations: Extra inputs are not permitted"
