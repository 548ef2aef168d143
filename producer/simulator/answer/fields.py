"""The values that each field of a script may hold, in words for an error message."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from producer.simulator.account.billing import Usage, honest
from producer.simulator.request.catalog import find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class ScriptError(ValueError):
    """A script that cannot be played; the message names the file, the rule, the field and the right value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field: `right` describes the values that `accepts` allows."""

    accepts: Callable[[object], bool]
    right: str


def check(where: str, name: str, value: object, fields: Mapping[str, Field]) -> None:
    """Refuse a value that its field cannot hold."""
    if not fields[name].accepts(value):
        raise ScriptError(f"{where}: field '{name}': {value!r} is wrong; right is {fields[name].right}")


def refuse_unknown(table: Mapping[str, object], known: Iterable[str], where: str, of_what: str = "") -> None:
    """Refuse a field that nobody knows, with the closest known name."""
    names = sorted(known)
    for name in table:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            right = f"did you mean '{close[0]}'?" if close else f"right is one of {', '.join(names)}"
            raise ScriptError(f"{where}: field '{name}'{of_what}: unknown; {right}")


def check_order(where: str, fields: Mapping[str, object], *pairs: tuple[str, str]) -> None:
    """Refuse an end before its beginning."""
    for low, high in pairs:
        first, last = fields.get(low), fields.get(high)
        if isinstance(first, int | float) and isinstance(last, int | float) and last < first:
            raise ScriptError(f"{where}: field '{high}': {last} is before {low}; right is {first} or more")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def whole(low: int) -> Field:
    """Return the field of a whole number."""

    def accepts(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= low

    return Field(accepts=accepts, right=f"a whole number, {low} or more")


def seconds(*, above_zero: bool = False) -> Field:
    """Return the field of a time."""

    def accepts(value: object) -> bool:
        return _is_number(value) and (value > 0 if above_zero else value >= 0)  # type: ignore[operator]

    return Field(accepts=accepts, right=f"seconds, {'more than 0' if above_zero else '0 or more'}")


SHARE = Field(
    accepts=lambda value: _is_number(value) and 0 <= value <= 1,  # type: ignore[operator]
    right="a number from 0 to 1",
)
_TEXT = Field(accepts=lambda value: isinstance(value, str), right="a string")
NAME = Field(accepts=lambda value: isinstance(value, str) and bool(value), right="a string, not empty")
FLAG = Field(accepts=lambda value: isinstance(value, bool), right="true or false")
_OBJECT = Field(accepts=lambda value: isinstance(value, dict), right="a table of the tool's input")
_JSON = Field(accepts=lambda value: object_of(value) is not None, right="a table, or the JSON of an object")
_USAGE = Field(
    accepts=lambda value: _can_be_charged(object_of(value)),
    right="a table, or the JSON of an object, with counters as the API spells them",
)
_HEADERS = Field(
    accepts=lambda value: isinstance(value, dict) and all(isinstance(each, str) for each in value.values()),
    right="a table of strings",
)
_NAMES = Field(
    accepts=lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    right="a list of counters of the usage, as the API spells them",
)
_WITH_BODY = {*range(200, 600)} - {204, 304}
_STATUS = Field(
    accepts=lambda value: type(value) is int and value in _WITH_BODY,
    right="a status from 200 to 599 that may have a body",
)


def one_of(*words: str) -> Field:
    """Return the field of a word out of some."""
    return Field(accepts=lambda value: value in words, right=" or ".join(f"'{word}'" for word in words))


def object_of(value: object) -> dict[str, Any] | None:
    """Return the object in a table or a JSON text. TOML has no null, hence JSON.

    Returns None if the value is neither.
    """
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _is_iteration(value: object) -> bool:
    match value:
        case {"type": "advisor_message", "model": str(name), "input_tokens": int(), "output_tokens": int(), **more}:
            return find(name) is not None and not more
        case {"type": "message" | "compaction", "input_tokens": int(), "output_tokens": int(), **more}:
            return not more
    return False


_ITERATIONS = Field(
    accepts=lambda value: isinstance(value, list) and all(map(_is_iteration, value)),
    right="a list of {type, input_tokens, output_tokens}; type: message, compaction, or advisor_message with a model",
)

_FORMS = one_of("seconds", "date", "ms", "none")


def _can_be_charged(usage: dict[str, Any] | None) -> bool:
    try:
        return usage is not None and honest(usage, Usage(input=0, output=0)).input >= 0
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


_PER_SECOND = Field(
    accepts=lambda value: _is_number(value) and value > 0,  # type: ignore[operator]
    right="tokens per second, more than 0",
)

RULE_FIELDS: dict[str, Field] = {
    "model": NAME,
    "from_job": whole(1),
    "to_job": whole(1),
    "from_s": seconds(),
    "to_s": seconds(),
    "share": SHARE,
    "prompt_contains": NAME,
    "times": whole(1),
    "times_per_job": whole(1),
    "delay_s": seconds(),
    "retry_after_s": seconds(),
    "retry_after_form": _FORMS,
    "every_s": seconds(above_zero=True),
    "after_events": whole(0),
    "error_type": NAME,
    "served_model": NAME,
    "service_tier": one_of("priority", "batch", "standard"),
    "output": FLAG,
    "category": NAME,
    "explanation": NAME,
    "stop_reason": NAME,
    "message": _JSON,
    "usage": _USAGE,
    "tokens_per_s": _PER_SECOND,
    "status": _STATUS,
    "content_type": NAME,
    "body": _TEXT,
    "headers": _HEADERS,
    "location": NAME,
    "text": _TEXT,
    "tool": NAME,
    "tool_input": _OBJECT,
    "web_searches": whole(0),
    "iterations": _ITERATIONS,
    "billed": FLAG,
    "lane": one_of("live", "batch"),
    "without": _NAMES,
}

# Taken by a rule with any answer: the selectors, and a delay before the answer.
FOR_ALL = frozenset(
    {
        "model",
        "from_job",
        "to_job",
        "from_s",
        "to_s",
        "share",
        "prompt_contains",
        "times",
        "times_per_job",
        "delay_s",
        "lane",
    }
)

LIMIT_FIELDS: dict[str, Field] = {
    "requests_per_minute": whole(1),
    "input_tokens_per_minute": whole(1),
    "output_tokens_per_minute": whole(1),
}

SCRIPT_FIELDS: dict[str, Field] = {
    "report_behind_s": seconds(),
    "retry_after_form": _FORMS,
    "tokens_per_s": _PER_SECOND,
    "bytes_per_token": whole(1),
}

NOISE_FIELDS: dict[str, Field] = {"retry_after_s": seconds(), "retry_after_form": _FORMS}
