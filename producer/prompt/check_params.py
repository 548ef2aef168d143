"""Checks of a request's parameters beside messages and max_tokens; every model makes these checks.

Rules of one model, and fields newer than this file, are left to the provider: a 400 costs nothing.
"""

from collections.abc import Callable, Mapping
from reprlib import repr as shown
from typing import Any

_MOST_TOP_K = 1_000_000
_MOST_USES = 10_000  # of one server tool in one request: a higher number is a slip, beyond any budget


def field_problem(params: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the first field that no model takes, and its problem. The messages must be checked before."""
    for name, (is_right, right) in _FIELDS.items():
        value = params.get(name)
        if value is not None and not is_right(value):
            return name, f"{shown(value)} should be {right}"
    for place, tool in enumerate(params.get("tools") or ()):
        most = tool.get("max_uses")
        if most is not None and not (type(most) is int and 1 <= most <= _MOST_USES):
            return f"tools[{place}].max_uses", f"{shown(most)} should be a whole number from 1 to {_MOST_USES}"
    if params["messages"][0]["role"] == "assistant":
        return "messages[0].role", "the first message should be the user's"
    return None


def _is_number(least: float, most: float) -> Callable[[object], bool]:
    def is_right(value: object) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return least <= value <= most  # False for NaN

    return is_right


def _is_system(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list | tuple)
        and all(
            isinstance(block, Mapping) and block.get("type") == "text" and _is_text(block) and _is_marked_right(block)
            for block in value
        )
    )


def _is_marked_right(block: Mapping[str, Any]) -> bool:
    mark = block.get("cache_control")
    return mark is None or _is_typed(mark)


def _is_text(block: Mapping[str, Any]) -> bool:
    return isinstance(block.get("text"), str) and bool(block["text"].strip())


def _is_typed(value: object) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def _are_tools(value: object) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(tool, Mapping) and (isinstance(tool.get("name"), str) or _is_typed(tool)) and _is_marked_right(tool)
        for tool in value
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)


def _are_servers(value: object) -> bool:
    return isinstance(value, list | tuple) and all(_is_typed(server) for server in value)


def _are_fallbacks(value: object) -> bool:
    are_models = isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value)
    return value == "default" or are_models


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_whole_k(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST_TOP_K


_FIELDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "system": (_is_system, "text, or a list of text blocks"),
    "temperature": (_is_number(0, 1), "a number from 0 to 1"),
    "top_p": (_is_number(0, 1), "a number from 0 to 1"),
    "top_k": (_is_whole_k, "a whole number, 0 or more"),
    "stop_sequences": (_are_texts, "a list of texts"),
    "tools": (_are_tools, "a list of tools, each with a name or a type"),
    "tool_choice": (_is_typed, "an object with a type"),
    "thinking": (_is_typed, "an object with a type"),
    "metadata": (_is_object, "an object"),
    "output_config": (_is_object, "an object"),
    "service_tier": (_is_string, "text"),
    "stream": (lambda value: isinstance(value, bool), "true or false"),
    "cache_control": (_is_typed, "an object with a type"),
    "speed": (lambda value: value in ("standard", "fast"), "standard or fast"),
    "inference_geo": (_is_string, "text"),
    "container": (lambda value: isinstance(value, str | Mapping), "the id of a container, or an object"),
    "context_management": (_is_object, "an object"),
    "mcp_servers": (_are_servers, "a list of servers, each an object with a type"),
    "fallbacks": (_are_fallbacks, 'a list of objects, or "default"'),
}
