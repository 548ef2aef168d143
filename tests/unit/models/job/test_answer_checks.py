"""What an answer must pass is checked before anything is queued: what is accepted can be held against any answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.job.answer_checks import JSON_SCHEMA, MIN_CHARS, PATTERN, problem_of, schema_from
from tests.support.plays.walk_scene import message, received
from worker.fallback.check_answer import check_answer
from worker.provider.classify import classify

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
_WORDS = ("type", "properties", "items", "$ref", "pattern", "required", "enum", "minimum", "allOf", "$schema", "$id")
_SCHEMAS = st.dictionaries(st.sampled_from(_WORDS), _JSON, max_size=4)
_PATTERNS = st.text(alphabet="ab()[]{}|*+?.^$\\d1,:=!<>-", max_size=12) | st.text(max_size=12)
_EXPECTS = st.fixed_dictionaries({}, optional={MIN_CHARS: _JSON, PATTERN: _PATTERNS | _JSON, JSON_SCHEMA: _SCHEMAS})


@given(expects=_EXPECTS | _JSON, text=st.text(max_size=20) | _JSON.map(json.dumps))
def test_rubbish_is_refused_in_words_or_can_be_held_against_any_answer(expects: Any, text: str) -> None:
    problem = problem_of(expects)
    if problem is not None:
        assert all(isinstance(part, str) and part for part in problem)
        return
    end = classify(received(message(content=[{"type": "text", "text": text}])))
    assert check_answer(end, json.loads(json.dumps(expects))) is not None


@pytest.mark.parametrize(
    ("expects", "field", "text"),
    [
        ([], "expects", "should hold min_chars, pattern, json_schema"),
        ({"max_chars": 1}, "max_chars", "is unknown; choose from min_chars, pattern, json_schema"),
        ({"min_chars": 0}, "min_chars", "0 should be a whole number of characters, 1 or more"),
        ({"min_chars": True}, "min_chars", "True should be a whole number"),
        ({"pattern": "(a"}, "pattern", "'(a' is no regular expression: missing ) at position 2"),
        ({"pattern": ""}, "pattern", "'' should be a regular expression of 1 to 2000 characters"),
        ({"pattern": "a\0"}, "pattern", "holds a NUL or half a surrogate pair"),
        ({"json_schema": []}, "json_schema", "[] should be a JSON schema: an object"),
        ({"json_schema": {"type": "nope"}}, "json_schema", 'is no JSON schema: "nope" is not valid'),
        ({"json_schema": {"description": "a" * 70_000}}, "json_schema", "may have 65,536"),
    ],
)
def test_a_check_that_is_none_is_named_with_what_would_be_right(expects: Any, field: str, text: str) -> None:
    problem = problem_of(expects)
    assert problem is not None
    assert problem[0] == field
    assert text in problem[1]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/x.json", "https://example.org/x", "other.json"])
def test_a_schema_reads_nothing_outside_of_itself(uri: str) -> None:
    assert problem_of({"json_schema": {"$ref": uri}}) is not None


def test_a_schema_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "any.json").write_text("{}", encoding="utf-8")
    problem = problem_of({"json_schema": {"$ref": (tmp_path / "any.json").as_uri()}})
    assert problem is not None
    assert "nothing outside is read" in problem[1]


@pytest.mark.parametrize("schema", [{}, {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, {"items": {}}])
def test_a_schema_may_point_into_itself(schema: dict[str, Any]) -> None:
    assert problem_of({"json_schema": schema}) is None


def test_a_schemas_file_that_is_none_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken.json' is no JSON: Expecting property name"):
        schema_from(tmp_path / "broken.json")
    with pytest.raises(ValueError, match=r"missing.json' cannot be read \(No such file or directory\)"):
        schema_from(tmp_path / "missing.json")
