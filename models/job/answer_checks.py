"""Checks that an answer must pass: verified at submission, compiled once in the worker."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from reprlib import repr as shown
from typing import Any

import jsonschema_rs
import regex

from models.text import is_storable

MIN_CHARS, PATTERN, JSON_SCHEMA = "min_chars", "pattern", "json_schema"
CHECKS = (MIN_CHARS, PATTERN, JSON_SCHEMA)
_MOST_CHARS = 10_000_000  # no model writes as much
_LONGEST_PATTERN = 2_000
_LONGEST_SCHEMA = 65_536  # a schema is kept with each job


def problem_of(expects: object) -> tuple[str, str] | None:
    """Return the first invalid check: its name and its problem. Returns None if all checks can be applied to an answer.

    `min_chars` is the least number of characters of the text. `pattern` is a regular expression found in the text.
    `json_schema` is an object, a schema that the answer's JSON passes.
    """
    if not isinstance(expects, Mapping):
        return "expects", f"{shown(expects)} should hold {', '.join(CHECKS)}"
    for name in expects:
        if name not in CHECKS:
            return str(name) or "''", f"is unknown; choose from {', '.join(CHECKS)}"
    problems = {
        MIN_CHARS: _min_chars_problem(expects.get(MIN_CHARS)),
        PATTERN: _pattern_problem(expects.get(PATTERN)),
        JSON_SCHEMA: _schema_problem(expects.get(JSON_SCHEMA)),
    }
    return next(((name, problem) for name, problem in problems.items() if problem), None)


def schema_from(path: Path) -> Any:
    """Return a schema's JSON from a file. Raises ValueError with the reason if the file holds no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{str(path)!r} cannot be read ({error.strerror}); name a file of JSON"
    except UnicodeDecodeError:
        message = f"{str(path)!r} is no UTF-8 text"
    except json.JSONDecodeError as error:
        message = f"{str(path)!r} is no JSON: {error}"
    except (ValueError, RecursionError):  # a NUL in the name; a number or a depth that nobody writes
        message = f"{str(path)!r} cannot be read as JSON"
    raise ValueError(message)


@lru_cache(maxsize=256)
def pattern_of(pattern: str) -> regex.Pattern[str]:
    """Compile a regular expression. Raises regex.error, OverflowError or RecursionError for invalid text."""
    return regex.compile(pattern)


def validator_of(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """Compile a schema, by draft 2020-12 if the schema names no draft. Nothing outside of the schema is read.

    Raises ValueError if the schema is invalid.
    """
    return _validator(json.dumps(schema, sort_keys=True))


@lru_cache(maxsize=256)
def _validator(text: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(json.loads(text), retriever=_nothing_outside)


def _nothing_outside(uri: str) -> Any:
    raise ValueError(f"{uri} is outside of the schema, and nothing outside is read")


def _min_chars_problem(value: object) -> str | None:
    if value is None or (type(value) is int and 1 <= value <= _MOST_CHARS):
        return None
    return f"{shown(value)} should be a whole number of characters, 1 or more"


def _pattern_problem(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value or len(value) > _LONGEST_PATTERN:
        return f"{shown(value)} should be a regular expression of 1 to {_LONGEST_PATTERN} characters"
    if not is_storable(value):
        return f"{shown(value)} holds a NUL or half a surrogate pair; remove it"
    try:
        pattern_of(value)
    except (regex.error, OverflowError, RecursionError, ValueError) as error:
        return f"{shown(value)} is no regular expression: {error}"
    return None


def _schema_problem(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return f"{shown(value)} should be a JSON schema: an object"
    try:
        text = json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return f"cannot be written as JSON: {error}"
    if len(text) > _LONGEST_SCHEMA:
        return f"has {len(text):,} bytes; it is kept with each job, and may have {_LONGEST_SCHEMA:,}"
    try:
        validator_of(value)
    except (ValueError, RecursionError) as error:
        return f"is no JSON schema: {str(error).splitlines()[0]}"
    return None
