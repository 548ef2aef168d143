"""Whether an answer will do: what is empty, what fails a check, and that its words are never told."""

import json
from typing import Any

import pytest

from models.outcome import Outcome
from tests.support.plays.walk_scene import error, message, received
from worker.fallback.check_answer import check_answer
from worker.provider.classify import classify
from worker.provider.reply import Failure, Reply

_SECRET = "Zanzibar"  # noqa: S105 - a word of the answer
_YEAR = {"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"]}


def _judged(text: str, stop_reason: str = "end_turn", **expects: Any) -> Reply:
    return _of([{"type": "text", "text": text}], stop_reason, **expects)


def _of(content: list[dict[str, Any]], stop_reason: str = "end_turn", **expects: Any) -> Reply:
    end = check_answer(classify(received(message(stop_reason=stop_reason, content=content))), expects or None)
    assert isinstance(end, Reply)
    return end


@pytest.mark.parametrize(
    "content",
    [
        [],
        [{"type": "text", "text": ""}],
        [{"type": "text", "text": " \n\t"}, {"type": "text", "text": "\u00a0"}],
        [{"type": "thinking", "thinking": "Let me see."}, {"type": "redacted_thinking", "data": "x"}],
    ],
)
def test_an_answer_without_a_word_is_empty(content: list[dict[str, Any]]) -> None:
    end = _of(content)
    assert (end.outcome, end.flaw) == (Outcome.EMPTY, "there is no text in it (end_turn)")


@pytest.mark.parametrize("content", [[{"type": "text", "text": "a"}], [{"type": "tool_use", "name": "look"}]])
def test_a_word_or_the_use_of_a_tool_is_an_answer(content: list[dict[str, Any]]) -> None:
    assert _of(content).outcome is Outcome.ANSWERED


@pytest.mark.parametrize(
    ("text", "expects", "flaw"),
    [
        ("123456789", {"min_chars": 9}, ""),
        ("  12345678 \n", {"min_chars": 9}, "its text has 8 characters, at least 9 are asked"),
        ("Summary: it rained.", {"pattern": "^Summary:"}, ""),
        ("In summary: it rained.", {"pattern": "^Summary:"}, "the pattern '^Summary:' is not found in its text"),
        ('{"year": 2026}', {"json_schema": _YEAR}, ""),
        ('{"year": "MMXXVI"}', {"json_schema": _YEAR}, "its JSON fails the schema at /properties/year/type"),
        ("{}", {"json_schema": _YEAR}, "its JSON fails the schema at /required"),
        ("{\n 'year': 1}", {"json_schema": _YEAR}, "its text is no JSON, from line 2, column 2 on"),
        ('{"year": NaN}', {"json_schema": _YEAR}, "its text is no JSON that a schema can be held against"),
        ("[" * 100_000, {"json_schema": _YEAR}, "its text is no JSON that a schema can be held against"),
        ('{"\\ud800": 1}', {"json_schema": _YEAR}, "its text is no JSON that a schema can be held against"),
        ("9" * 5000, {"json_schema": _YEAR}, "its text is no JSON that a schema can be held against"),
    ],
)
def test_a_check_passes_or_tells_which_failed(text: str, expects: dict[str, Any], flaw: str) -> None:
    end = _judged(text, **expects)
    assert (end.flaw, end.outcome) == (flaw, Outcome.INVALID if flaw else Outcome.ANSWERED)


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```JSON\n{}\n```", "```\n{}\n```", "\n```json\n{}\n```  \n"])
def test_one_fence_around_all_of_it_is_taken_off(fence: str) -> None:
    assert _judged(fence.format('{"year": 1}').replace("{}", '{"year": 1}'), json_schema=_YEAR).flaw == ""


@pytest.mark.parametrize("text", ['Here:\n```json\n{"year": 1}\n```', '```json\n{"year": 1}', "```", "```\n```"])
def test_what_is_around_json_is_no_json(text: str) -> None:
    assert _judged(text, json_schema=_YEAR).outcome is Outcome.INVALID


def test_a_pattern_that_would_take_for_ever_is_stopped() -> None:
    end = _judged("1," * 500, pattern="(.*?,){30}P")
    assert (end.outcome, end.flaw) == (
        Outcome.INVALID,
        "the pattern '(.*?,){30}P' took too long, more than 1 s",
    )


@pytest.mark.parametrize("expects", [{"min_chars": 99}, {"pattern": "^no$"}, {"json_schema": {"enum": [1]}}])
@pytest.mark.parametrize("text", [_SECRET, json.dumps(_SECRET), json.dumps({_SECRET: _SECRET})])
def test_a_flaw_never_tells_the_answer(text: str, expects: dict[str, Any]) -> None:
    end = _judged(text, **expects)
    assert end.flaw
    assert _SECRET not in end.flaw


def test_a_truncated_answer_stays_so_and_has_its_flaw() -> None:
    end = _judged('{"year": 20', "max_tokens", json_schema=_YEAR)
    assert (end.outcome, end.flaw[:19]) == (Outcome.TRUNCATED, "its text is no JSON")
    assert _judged("It rained", "max_tokens", min_chars=3).flaw == ""


def test_what_is_no_answer_is_not_looked_at() -> None:
    refused = _judged("", "refusal", min_chars=3)
    assert (refused.outcome, refused.flaw) == (Outcome.REFUSED, "")
    failure = check_answer(classify(error(400)), {"min_chars": 3})
    assert isinstance(failure, Failure)
    assert failure.outcome is Outcome.BAD_REQUEST


@pytest.mark.parametrize("content", [[], [{"type": "text", "text": "Or not."}]])
def test_where_nothing_is_asked_an_empty_answer_is_the_right_one(content: list[dict[str, Any]]) -> None:
    end = classify(received(message(stop_reason="max_tokens", content=content)))
    assert check_answer(end, None, asks_nothing=True).outcome is Outcome.ANSWERED
