"""Checks values that people write against a pydantic model, and turns every ValidationError into mistakes of ours.

The description of a type or of its field names the right values: messages have "should be" and the description. A
validator's ValueError has a message, a message behind a field inside of the validator's own, or neither.
"""

from collections.abc import Iterable, Iterator
from reprlib import repr as shown
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

Problem: TypeAlias = tuple[str, str]  # the field, and the fix
_Value = TypeVar("_Value")
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # of a model, and of a dataclass


class StrictModel(BaseModel):
    """A model that takes its own fields and no others, each of its own type alone."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def validated(
    adapter: TypeAdapter[_Value], given: object, *, context: object = None, hides_values: bool = False
) -> tuple[_Value, list[Problem]] | tuple[None, list[Problem]]:
    """Return the value, or None and every problem. Messages quote no value if `hides_values`."""
    try:
        return adapter.validate_python(given, context=context), []
    except ValidationError as error:
        return None, [*dict.fromkeys(_problems(error, adapter.json_schema(), hides_values=hides_values))]


def _problems(error: ValidationError, schema: dict[str, Any], *, hides_values: bool) -> Iterator[Problem]:
    for each in error.errors(include_url=False):
        is_unknown = each["type"] in _UNKNOWN or not each["loc"]  # a name that is no Unicode has no place
        path, fields = _place(each["loc"] or [each["input"]], schema)
        if is_unknown:
            yield path, f"is unknown; choose from {', '.join(fields)}"
            continue
        *inside, words = each["ctx"]["error"].args or [None] if each["type"] == "value_error" else [None]
        value = "" if hides_values or each["type"] == "missing" else f"{shown(each['input'])} "
        yield ".".join([path, *inside]), words or f"{value}should be {_right(fields[path.rpartition('.')[2]])}"


def _place(loc: Iterable[object], schema: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the path of a field, without the places in lists, and the schemas of all fields of its model."""
    path, fields, inner = list[str](), {}, schema["properties"]
    for name in (part for part in loc if isinstance(part, str)):
        if inner:
            path, fields = [*path, shown(name)[1:-1]], inner  # a name may be long, or hold any character
            model = inner.get(name, {}).get("items", {}).get("$ref", "").rpartition("/")[2]
            inner = schema["$defs"][model]["properties"] if model else {}
    return ".".join(path), fields


def _right(schema: dict[str, Any]) -> str:
    """Return the description of a type, else of its field."""
    return next(str(each["description"]) for each in (*schema.get("anyOf", ()), schema) if "description" in each)
