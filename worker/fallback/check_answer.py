"""Checks that an answer is not empty and passes the job's own checks. No flaw quotes the answer."""

import json
from collections.abc import Mapping
from dataclasses import replace
from reprlib import repr as shown
from typing import Any

from models.job.answer import text_of
from models.job.answer_checks import JSON_SCHEMA, MIN_CHARS, PATTERN, pattern_of, validator_of
from models.outcome import Outcome
from worker.provider.reply import Failure, Reply

_PATTERN_S = 1.0  # a pattern can block its thread for ever
_LOOKED_AT = frozenset({Outcome.ANSWERED, Outcome.TRUNCATED, Outcome.UNCLEAR})
_THINKING = ("thinking", "redacted_thinking")
_FENCE = "```"


def asks_nothing(request: Mapping[str, Any]) -> bool:
    """Return whether a request only fills the cache: with a max_tokens of 0 the API generates nothing."""
    return request.get("max_tokens") == 0


def check_answer(
    end: Reply | Failure, expects: Mapping[str, Any] | None, *, asks_nothing: bool = False
) -> Reply | Failure:
    """Return the answer; an empty or failing answer gets that outcome and a flaw.

    An answer that was cut, or that ended for an unknown reason, keeps its outcome: more room may cure the flaw.
    A refused or unfinished answer has no check. With `asks_nothing`, an empty answer is right.
    """
    if not isinstance(end, Reply) or end.outcome not in _LOOKED_AT:
        return end
    if asks_nothing:
        return replace(end, outcome=Outcome.ANSWERED)
    if _is_empty(end.message):
        return replace(end, outcome=Outcome.EMPTY, flaw=_why_empty(end))
    flaw = _flaw(text_of(end.message), expects or {})
    if end.outcome is not Outcome.ANSWERED:
        return replace(end, flaw=flaw)
    return replace(end, outcome=Outcome.INVALID, flaw=flaw) if flaw else end


def _why_empty(end: Reply) -> str:
    if end.stop_reason != "max_tokens":
        return f"there is no text in it ({end.stop_reason or 'no stop reason'})"
    return f"there is no text in it: max_tokens was used up after {end.usage.output_tokens} tokens, before any text"


def _is_empty(message: Mapping[str, Any]) -> bool:
    """Return whether the answer is only thinking and white space. The use of a tool is an answer."""
    kinds = {block.get("type") for block in message["content"]} - {*_THINKING, "text"}
    return not kinds and not text_of(message).strip()


def _flaw(text: str, expects: Mapping[str, Any]) -> str:
    return (
        _length_flaw(text, expects.get(MIN_CHARS))
        or _pattern_flaw(text, expects.get(PATTERN))
        or _schema_flaw(text, expects.get(JSON_SCHEMA))
    )


def _length_flaw(text: str, least: int | None) -> str:
    length = len(text.strip())
    return "" if least is None or length >= least else f"its text has {length} characters, at least {least} are asked"


def _pattern_flaw(text: str, pattern: str | None) -> str:
    if pattern is None:
        return ""
    try:
        # `concurrent` lets other threads run during the search.
        found = pattern_of(pattern).search(text, timeout=_PATTERN_S, concurrent=True)
    except TimeoutError:
        return f"the pattern {shown(pattern)} took too long, more than {_PATTERN_S:g} s"
    return "" if found else f"the pattern {shown(pattern)} is not found in its text"


def _schema_flaw(text: str, schema: Mapping[str, Any] | None) -> str:
    if schema is None:
        return ""
    try:
        value = json.loads(_unfenced(text), parse_constant=_no_constant)
        error = next(iter(validator_of(schema).iter_errors(value)), None)
    except json.JSONDecodeError as error_at:
        return f"its text is no JSON, from line {error_at.lineno}, column {error_at.colno} on"
    except (ValueError, RecursionError):  # half a surrogate, a number of 5,000 digits, 10,000 brackets
        return "its text is no JSON that a schema can be held against"
    # The place in the schema stands for the error, whose own words quote the answer.
    return "" if error is None else f"its JSON fails the schema at /{'/'.join(map(str, error.schema_path))}"


def _unfenced(text: str) -> str:
    """Take off one Markdown fence around the whole text: models write JSON in a fence."""
    lines = text.strip().splitlines()
    is_fenced = len(lines) > 1 and lines[0].strip().lower() in {_FENCE, f"{_FENCE}json"} and lines[-1].strip() == _FENCE
    return "\n".join(lines[1:-1]) if is_fenced else text


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is Python's, not JSON's")
