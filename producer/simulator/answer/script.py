"""The script language: TOML rules (first match wins) and limits, checked before anything is served."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from producer.simulator.account.buckets import ALL, Limits
from producer.simulator.answer.answers import ANSWERS, Answer
from producer.simulator.answer.fields import (
    FOR_ALL,
    LIMIT_FIELDS,
    NOISE_FIELDS,
    RULE_FIELDS,
    SCRIPT_FIELDS,
    SHARE,
    Field,
    object_of,
)
from producer.simulator.request.catalog import GROUPS, MODELS, find

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_EVERY_MODEL = frozenset(model.id for model in MODELS)
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


class ScriptError(ValueError):
    """A script that cannot be played; the message names the file, the rule, the field and the right value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule: selectors of requests, and their answer. `number` counts from 1 in the file.

    `to_job` is included, `to_s` is not; `share` is of the requests that the other selectors allow.
    """

    number: int
    answer: Answer
    models: frozenset[str]
    from_job: int = 1
    to_job: int | None = None
    from_s: float = 0.0
    to_s: float | None = None
    share: float = 1.0
    prompt_contains: str = ""
    times: int | None = None
    times_per_job: int | None = None
    delay_s: float = 0.0
    retry_after_s: float | None = None
    retry_after_form: str = ""
    every_s: float = 0.2
    after_events: int | None = None
    error_type: str = "overloaded_error"
    served_model: str = ""
    service_tier: str = ""
    output: bool = True
    category: str | None = None
    explanation: str | None = None
    stop_reason: str | None = None
    message: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    tokens_per_s: float | None = None
    status: int = 200
    content_type: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str = "https://login.example/"
    text: str = ""
    tool: str = ""
    tool_input: Mapping[str, Any] = field(default_factory=dict)
    web_searches: int = 0
    iterations: Sequence[Mapping[str, Any]] = ()
    billed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A whole script; an empty script answers every request well.

    `report_behind_s`: the usage and cost report lacks so many seconds of purchases. `noise` are rules with exclusive
    shares. `retry_after_form` and `tokens_per_s` hold for rules without their own. `bytes_per_token` of a prompt is 1
    at worst.
    """

    rules: tuple[Rule, ...] = ()
    noise: tuple[Rule, ...] = ()
    limits: Mapping[str, Limits]
    report_behind_s: float = 0
    retry_after_form: str = "seconds"
    tokens_per_s: float | None = None
    bytes_per_token: int = 4


def parse_script(text: str, source: str = "script") -> Script:
    """Read a script; `source` is the script's name in error messages."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScriptError(f"{source}: not valid TOML: {error}") from None
    _refuse_unknown(document, {"rules", "limits", "noise", *SCRIPT_FIELDS}, source, "")
    rules = _tables(document.get("rules", []), source)
    limits = document.get("limits", {})
    if not isinstance(limits, dict):
        raise ScriptError(f"{source}: field 'limits': right is [limits.<group>]")
    plain = {name: value for name, value in document.items() if name in SCRIPT_FIELDS}
    for name, value in plain.items():
        _check(source, name, value, SCRIPT_FIELDS)
    return Script(
        **plain,
        rules=tuple(_rule(table, number, source) for number, table in enumerate(rules, start=1)),
        noise=_noise(document.get("noise", {}), f"{source}: noise"),
        limits={group: _limits(group, table, source) for group, table in limits.items()},
    )


def _tables(value: object, source: str) -> list[dict[str, object]]:
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise ScriptError(f"{source}: field 'rules': right is a list of [[rules]] tables")
    return value


def _rule(table: dict[str, object], number: int, source: str) -> Rule:
    where = f"{source}: rule {number}"
    answer = _answer(table.get("answer"), where)
    _refuse_unknown(table, RULE_FIELDS.keys() | {"answer"}, where, f" of answer '{answer.word}'")
    fields = {name: value for name, value in table.items() if name != "answer"}
    for name, value in fields.items():
        _check(where, name, value, RULE_FIELDS)
        if name not in FOR_ALL | answer.needs | answer.takes:
            right = ", ".join(sorted(answer.needs | answer.takes | {"delay_s"}))
            raise ScriptError(f"{where}: field '{name}': answer '{answer.word}' has no use for it; it takes {right}")
    for name in sorted(answer.needs - fields.keys()):
        raise ScriptError(f"{where}: field '{name}': missing; answer '{answer.word}' needs {RULE_FIELDS[name].right}")
    _check_served(where, fields.get("served_model"))
    _check_order(where, fields)
    models = _matched_models(where, fields.pop("model", None))
    for name in ("text", "body"):
        if name in fields:
            fields[name] = _unescape(str(fields[name]))
    for name in ("message", "usage"):
        if name in fields:
            fields[name] = object_of(fields[name])
    return Rule(number=number, answer=answer, models=models, **fields)  # type: ignore[arg-type]  # checked


def _answer(word: object, where: str) -> Answer:
    if isinstance(word, int):
        word = str(word)  # answer = 529 is the word "529"
    if not isinstance(word, str) or word not in ANSWERS:
        said = "missing" if word is None else f"{word!r} is unknown"
        raise ScriptError(f"{where}: field 'answer': {said}; right is one of {', '.join(ANSWERS)}")
    return ANSWERS[word]


def _check(where: str, name: str, value: object, fields: Mapping[str, Field]) -> None:
    if not fields[name].accepts(value):
        raise ScriptError(f"{where}: field '{name}': {value!r} is wrong; right is {fields[name].right}")


def _matched_models(where: str, selector: object) -> frozenset[str]:
    """Return the ids of a selector: the model of a full name, else all models whose name contains the selector."""
    if selector is None:
        return _EVERY_MODEL
    exact = find(str(selector))
    if exact is not None:
        return frozenset({exact.id})
    names = frozenset(model.id for model in MODELS if str(selector) in model.id or str(selector) in model.alias)
    if not names:
        raise ScriptError(
            f"{where}: field 'model': no model matches {selector!r}; right is (a part of) one of {_known()}"
        )
    return names


def _check_served(where: str, served: object) -> None:
    if served is not None and find(str(served)) is None:
        raise ScriptError(f"{where}: field 'served_model': {served!r} is unknown; right is one of {_known()}")


def _known() -> str:
    return ", ".join(model.alias for model in MODELS)


def _check_order(where: str, fields: Mapping[str, object]) -> None:
    for low, high in (("from_job", "to_job"), ("from_s", "to_s")):
        first, last = fields.get(low), fields.get(high)
        if isinstance(first, int | float) and isinstance(last, int | float) and last < first:
            raise ScriptError(f"{where}: field '{high}': {last} is before {low}; right is {first} or more")


def _limits(group: str, table: object, source: str) -> Limits:
    where = f"{source}: limits.{group}"
    if group not in {ALL, *GROUPS}:
        raise ScriptError(f"{where}: unknown model group; right is one of {', '.join((ALL, *sorted(GROUPS)))}")
    if not isinstance(table, dict):
        raise ScriptError(f"{where}: right is a table with {', '.join(LIMIT_FIELDS)}")
    _refuse_unknown(table, LIMIT_FIELDS.keys(), where, "")
    for name, value in table.items():
        _check(where, name, value, LIMIT_FIELDS)
    return Limits(**table)


def _noise(table: object, where: str) -> tuple[Rule, ...]:
    """Read the rules of [noise]. Each is for every model and has no number."""
    if not isinstance(table, dict):
        raise ScriptError(f"{where}: right is a table of answers and their shares")
    words = {name: ANSWERS.get(name) for name in table if name not in NOISE_FIELDS}
    for name, answer in words.items():
        if answer is None or answer.needs:
            right = ", ".join(word for word, known in ANSWERS.items() if not known.needs)
            raise ScriptError(f"{where}: field '{name}': no such answer; right is one of {right}")
        _check(where, name, table[name], {name: SHARE})
    if sum(table[name] for name in words) > 1:
        raise ScriptError(f"{where}: the shares add up to more than 1")
    advice = {name: value for name, value in table.items() if name in NOISE_FIELDS}
    for name, value in advice.items():
        _check(where, name, value, NOISE_FIELDS)
    return tuple(
        Rule(
            number=0,
            answer=answer,
            models=_EVERY_MODEL,
            share=table[name],
            **{field: value for field, value in advice.items() if field in answer.takes},
        )
        for name, answer in words.items()
        if answer is not None
    )


def _refuse_unknown(table: Mapping[str, object], known: Iterable[str], where: str, of_what: str) -> None:
    names = sorted(known)
    for name in table:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            right = f"did you mean '{close[0]}'?" if close else f"right is one of {', '.join(names)}"
            raise ScriptError(f"{where}: field '{name}'{of_what}: unknown; {right}")


def _unescape(text: str) -> str:
    """Replace the backslash-u escapes that TOML left alone (lone surrogates, literal strings) by their characters."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
