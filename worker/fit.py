"""Whether a request fits a model. What a model would answer with 400 for its own limits is passed over instead."""

import re
from collections.abc import Mapping
from typing import Any

_VERSION = re.compile(r"claude-(opus|sonnet|haiku)-(\d+)(?:-(\d{1,2}))?(?!\d)")
_NO_SAMPLING_SINCE = (4, 7)
_SAMPLING = ("temperature", "top_p", "top_k")
# Output limits, in tokens. Source: facts.md, "anthropic 2.12.0".
_MOST_OUTPUT = {"claude-opus-4-7": 128_000, "claude-sonnet-4-6": 128_000, "claude-haiku-4-5": 64_000}
# No text is fewer tokens than this many characters each; a real count is the API's business.
_CHARACTERS_A_TOKEN = 12


def misfit(request: Mapping[str, Any], model: str, *, window: int | None) -> str | None:
    """Tell why the model cannot take the request, or None if it may. `window` is its context, in tokens."""
    given = [name for name in _SAMPLING if name in request]
    if given and _version(model) >= _NO_SAMPLING_SINCE:
        return f"{model} takes no {given[0]}"
    wanted, most = request.get("max_tokens"), most_output(model)
    if isinstance(wanted, int) and most is not None and wanted > most:
        return f"{model} writes at most {most} tokens, max_tokens is {wanted}"
    if window is not None and _characters(request) > window * _CHARACTERS_A_TOKEN:
        return f"the prompt is longer than the {window} tokens of {model}"
    return None


def _version(model: str) -> tuple[int, int]:
    match = _VERSION.match(model)
    return (0, 0) if match is None else (int(match[2]), int(match[3] or 0))


def most_output(model: str) -> int | None:
    """Tell how many tokens a model writes at most, None where that is not known."""
    return next((most for name, most in _MOST_OUTPUT.items() if model.startswith(name)), None)


def _characters(request: Mapping[str, Any]) -> int:
    return sum(len(message.get("content") or "") for message in request.get("messages", ()) if _is_plain(message))


def _is_plain(message: object) -> bool:
    return isinstance(message, dict) and isinstance(message.get("content"), str)
