"""The script language: TOML rules (first match wins) and limits, checked before anything is served."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producer.simulator.account.buckets import ALL, Limits
from producer.simulator.answer.answers import ANSWERS, Answer
from producer.simulator.answer.batch_script import BatchRule, BatchSettings, batch_rule, batch_settings
from producer.simulator.answer.fields import (
    FOR_ALL,
    LIMIT_FIELDS,
    NOISE_FIELDS,
    RULE_FIELDS,
    SCRIPT_FIELDS,
    SHARE,
    ScriptError,
    check,
    check_order,
    object_of,
    refuse_unknown,
)
from producer.simulator.answer.rule import EVERY_MODEL, Rule
from producer.simulator.request.catalog import GROUPS, MODELS, find

if TYPE_CHECKING:
    from collections.abc import Mapping

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


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
    batches: BatchSettings = field(default_factory=BatchSettings)
    batch_rules: tuple[BatchRule, ...] = ()
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
    refuse_unknown(document, {"rules", "limits", "noise", "batches", "batch_rules", *SCRIPT_FIELDS}, source)
    rules = _tables(document, "rules", source)
    limits = document.get("limits", {})
    if not isinstance(limits, dict):
        raise ScriptError(f"{source}: field 'limits': right is [limits.<group>]")
    plain = {name: value for name, value in document.items() if name in SCRIPT_FIELDS}
    for name, value in plain.items():
        check(source, name, value, SCRIPT_FIELDS)
    return Script(
        **plain,
        rules=tuple(_rule(table, number, source) for number, table in enumerate(rules, start=1)),
        batches=batch_settings(document.get("batches", {}), f"{source}: batches"),
        batch_rules=tuple(
            batch_rule(table, number, f"{source}: batch rule {number}")
            for number, table in enumerate(_tables(document, "batch_rules", source), start=1)
        ),
        noise=_noise(document.get("noise", {}), f"{source}: noise"),
        limits={group: _limits(group, table, source) for group, table in limits.items()},
    )


def _tables(document: dict[str, object], name: str, source: str) -> list[dict[str, object]]:
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise ScriptError(f"{source}: field '{name}': right is a list of [[{name}]] tables")
    return value


def _rule(table: dict[str, object], number: int, source: str) -> Rule:
    where = f"{source}: rule {number}"
    answer = _answer(table.get("answer"), where)
    refuse_unknown(table, RULE_FIELDS.keys() | {"answer"}, where, f" of answer '{answer.word}'")
    fields = {name: value for name, value in table.items() if name != "answer"}
    for name, value in fields.items():
        check(where, name, value, RULE_FIELDS)
        if name not in FOR_ALL | answer.needs | answer.takes:
            right = ", ".join(sorted(answer.needs | answer.takes | {"delay_s"}))
            raise ScriptError(f"{where}: field '{name}': answer '{answer.word}' has no use for it; it takes {right}")
    for name in sorted(answer.needs - fields.keys()):
        raise ScriptError(f"{where}: field '{name}': missing; answer '{answer.word}' needs {RULE_FIELDS[name].right}")
    _check_served(where, fields.get("served_model"))
    check_order(where, fields, ("from_job", "to_job"), ("from_s", "to_s"))
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


def _matched_models(where: str, selector: object) -> frozenset[str]:
    """Return the ids of a selector: the model of a full name, else all models whose name contains the selector."""
    if selector is None:
        return EVERY_MODEL
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


def _limits(group: str, table: object, source: str) -> Limits:
    where = f"{source}: limits.{group}"
    if group not in {ALL, *GROUPS}:
        raise ScriptError(f"{where}: unknown model group; right is one of {', '.join((ALL, *sorted(GROUPS)))}")
    if not isinstance(table, dict):
        raise ScriptError(f"{where}: right is a table with {', '.join(LIMIT_FIELDS)}")
    refuse_unknown(table, LIMIT_FIELDS.keys(), where)
    for name, value in table.items():
        check(where, name, value, LIMIT_FIELDS)
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
        check(where, name, table[name], {name: SHARE})
    if sum(table[name] for name in words) > 1:
        raise ScriptError(f"{where}: the shares add up to more than 1")
    advice = {name: value for name, value in table.items() if name in NOISE_FIELDS}
    for name, value in advice.items():
        check(where, name, value, NOISE_FIELDS)
    return tuple(
        Rule(
            number=0,
            answer=answer,
            models=EVERY_MODEL,
            share=table[name],
            **{field: value for field, value in advice.items() if field in answer.takes},
        )
        for name, answer in words.items()
        if answer is not None
    )


def _unescape(text: str) -> str:
    """Replace the backslash-u escapes that TOML left alone (lone surrogates, literal strings) by their characters."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
