"""Checks of a request's parameters beside messages and max_tokens; every model makes these checks.

Rules of one model, and fields newer than this file, are left to the provider: a 400 costs nothing.
"""

from collections.abc import Mapping
from reprlib import repr as shown
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, Field, StrictStr, TypeAdapter, ValidationError

_MOST_TOP_K = 1_000_000
_MOST_USES = 10_000  # of one server tool in one request: a higher number is a slip, beyond any budget


def field_problem(params: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the first field that no model takes, and its problem. The messages must be checked before."""
    for name, (adapter, right) in _FIELDS.items():
        value = params.get(name)
        try:
            if value is not None:
                adapter.validate_python(value)
        except ValidationError:
            return name, f"{shown(value)} should be {right}"
    for place, tool in enumerate(params.get("tools") or ()):
        most = tool.get("max_uses")
        if most is not None and not (type(most) is int and 1 <= most <= _MOST_USES):
            return f"tools[{place}].max_uses", f"{shown(most)} should be a whole number from 1 to {_MOST_USES}"
    if params["messages"][0]["role"] == "assistant":
        return "messages[0].role", "the first message should be the user's"
    return None


def _visible(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


class _Typed(BaseModel):
    type: str


class _Marked(BaseModel):
    cache_control: _Typed | None = None


class _TextBlock(_Marked):
    type: Literal["text"]
    text: Annotated[str, AfterValidator(_visible)]


class _NamedTool(_Marked):
    name: str


class _TypedTool(_Marked, _Typed):
    pass


_Share: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
_Object: TypeAlias = Mapping[Any, Any]
_TYPES: Mapping[str, tuple[Any, str]] = {
    "system": (StrictStr | list[_TextBlock], "text, or a list of text blocks"),
    "temperature": (_Share, "a number from 0 to 1"),
    "top_p": (_Share, "a number from 0 to 1"),
    "top_k": (Annotated[int, Field(strict=True, ge=0, le=_MOST_TOP_K)], "a whole number, 0 or more"),
    "stop_sequences": (list[StrictStr], "a list of texts"),
    "tools": (list[_NamedTool | _TypedTool], "a list of tools, each with a name or a type"),
    "tool_choice": (_Typed, "an object with a type"),
    "thinking": (_Typed, "an object with a type"),
    "metadata": (_Object, "an object"),
    "output_config": (_Object, "an object"),
    "service_tier": (StrictStr, "text"),
    "stream": (Annotated[bool, Field(strict=True)], "true or false"),
    "cache_control": (_Typed, "an object with a type"),
    "speed": (Literal["standard", "fast"], "standard or fast"),
    "inference_geo": (StrictStr, "text"),
    "container": (StrictStr | _Object, "the id of a container, or an object"),
    "context_management": (_Object, "an object"),
    "mcp_servers": (list[_Typed], "a list of servers, each an object with a type"),
    "fallbacks": (list[_Object] | Literal["default"], 'a list of objects, or "default"'),
}
_FIELDS = {name: (TypeAdapter(kind), right) for name, (kind, right) in _TYPES.items()}
