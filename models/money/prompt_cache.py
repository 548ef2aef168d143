"""The beginning that prompts of a batch share, system and tools: its digest, its length, its mark for the cache."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from models.money.token_estimate import CHARACTERS_A_TOKEN, prompt_size, usual_tokens

FIVE_MINUTES, ONE_HOUR = "5m", "1h"  # from each use
_MARKS = {FIVE_MINUTES: {"type": "ephemeral"}, ONE_HOUR: {"type": "ephemeral", "ttl": ONE_HOUR}}
_DIGEST_BYTES = 12


def prefix_of(params: Mapping[str, Any]) -> str | None:
    """Return the digest of a prompt's beginning. Returns None without system text, or if the caller set marks himself.

    >>> prefix_of({"system": "Be brief.", "messages": []}) == prefix_of({"system": "Be brief.", "max_tokens": 9})
    True
    """
    system = params.get("system")
    is_text = isinstance(system, str) or (isinstance(system, list) and _is_block(system[-1:]))
    if not system or not is_text or prompt_size(params).is_marked:
        return None
    shared = [params.get(name) for name in ("tools", "system")]
    return hashlib.blake2b(json.dumps(shared).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def prefix_tokens(params: Mapping[str, Any], *, a_token: float = CHARACTERS_A_TOKEN) -> int:
    """Estimate the tokens of system and tools, at `a_token` characters each."""
    shared = {name: params[name] for name in ("system", "tools") if name in params}
    return usual_tokens(prompt_size(shared), a_token=a_token)


def marked(params: Mapping[str, Any], ttl: str = FIVE_MINUTES) -> Mapping[str, Any]:
    """Mark the end of the system text for the cache. Tools stand before that text, and are kept, too.

    >>> marked({"system": "Be brief."})["system"]
    [{'type': 'text', 'text': 'Be brief.', 'cache_control': {'type': 'ephemeral'}}]
    """
    system = params["system"]
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    return {**params, "system": [*blocks[:-1], {**blocks[-1], "cache_control": _MARKS[ttl]}]}


def lifetimes(params: Mapping[str, Any]) -> frozenset[str]:
    """Return the lifetimes that the marks of a request ask of the cache; five minutes is the API's default.

    >>> lifetimes({"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]})
    frozenset({'5m'})
    """
    messages = params.get("messages")
    holders = messages if isinstance(messages, list) else []
    left: list[Any] = [params, params.get("tools"), params.get("system")]
    left += [each.get("content") for each in holders if isinstance(each, dict)]
    found = set[str]()
    while left:
        match left.pop():
            case list() as several:
                left += several
            case dict() as block:
                mark = block.get("cache_control")
                found |= (
                    {ONE_HOUR if isinstance(mark, dict) and mark.get("ttl") == ONE_HOUR else FIVE_MINUTES}
                    if mark
                    else set()
                )
                left += [block.get("content")] if str(block.get("type")).endswith("_result") else []
    return frozenset(found)


def _is_block(last: list[Any]) -> bool:
    return bool(last) and isinstance(last[0], dict) and last[0].get("type") == "text"
