"""A turn in several passes: sent back until it ends, ten passes at most, each an attempt of its own."""

from decimal import Decimal
from typing import Any

import pytest

from models.outcome import Outcome, State
from tests.support.plays.walk_scene import OPUS, SONNET, Scene, scene
from worker.fallback.longer_answer import MOST_PASSES, sent_back

_TEXT = {"type": "text", "text": "Harbours were dredged."}


def _ending(found: Scene) -> Any:
    ending = found.walk().ending
    assert ending is not None
    return ending


def test_a_paused_turn_is_sent_back_with_all_of_its_content_and_kept_whole() -> None:
    found = scene("paused", "paused", "ok")
    ending = _ending(found)
    assert [reported[1:] for reported in found.story()] == [
        ("start", 0, "unfinished"),
        ("continue", 0, "unfinished"),
        ("continue", 0, "answered"),
    ]
    asked = [request["messages"][1:] for request in found.provider.requests]
    assert asked == [[], [{"role": "assistant", "content": [_TEXT]}], [{"role": "assistant", "content": [_TEXT] * 2}]]
    assert (ending.state, ending.outcome, ending.message["content"]) == (State.SUCCEEDED, "answered", [_TEXT] * 3)
    assert ending.message["stop_reason"] == "end_turn"
    costs = [one.closing.cost_usd for one in found.attempts if one.closing]
    assert costs == [Decimal("0.0075")] * 3


def test_a_turn_that_pauses_for_ever_is_kept_as_cut_after_ten_passes() -> None:
    found = scene(*["paused"] * 20)
    ending = _ending(found)
    assert found.provider.calls == [OPUS] * MOST_PASSES
    assert (ending.state, ending.outcome, ending.is_truncated) == (State.SUCCEEDED, "truncated", True)
    assert len(ending.message["content"]) == MOST_PASSES


def test_another_model_begins_the_turn_anew() -> None:
    found = scene("paused", "529", "ok")
    ending = _ending(found)
    assert found.provider.calls == [OPUS, OPUS, SONNET]
    assert len(found.provider.requests[2]["messages"]) == 1
    assert ending.message["content"] == [_TEXT]


def test_an_answer_cut_in_a_later_pass_gets_more_room_and_keeps_the_turn() -> None:
    found = scene("paused", "max_tokens", "ok", climbs=frozenset({Outcome.TRUNCATED}))
    ending = _ending(found)
    assert [reported[1] for reported in found.story()] == ["start", "continue", "raise"]
    assert found.provider.requests[2]["messages"][1]["content"] == [_TEXT]
    assert ending.message["content"] == [_TEXT] * 2


def test_a_blank_text_is_not_sent_back() -> None:
    params = {"messages": [{"role": "user", "content": "Why?"}]}
    assert sent_back(params, [{"type": "text", "text": " "}]) == params
    kept = sent_back(params, [{"type": "text", "text": ""}, {"type": "server_tool_use", "id": "s1"}])
    assert kept["messages"][1]["content"] == [{"type": "server_tool_use", "id": "s1"}]


@pytest.mark.parametrize("script", [["novel", "ok"], ["novel", "529", "ok"]])
def test_an_unknown_stop_reason_has_one_other_model_asked(script: list[str]) -> None:
    found = scene(*script)
    ending = _ending(found)
    assert (ending.outcome, ending.is_truncated, ending.model_used) == ("answered", False, found.provider.calls[-1])


def test_where_every_model_stops_so_the_answer_is_kept_and_flagged_after_two() -> None:
    found = scene("novel", "novel", "ok")
    ending = _ending(found)
    assert found.provider.calls == [OPUS, SONNET]
    assert (ending.state, ending.outcome, ending.is_truncated) == (State.SUCCEEDED, "unclear", True)


def test_where_the_other_model_fails_the_unclear_answer_is_kept() -> None:
    found = scene("novel", "400")
    ending = _ending(found)
    assert (ending.state, ending.outcome, ending.model_used) == (State.SUCCEEDED, "unclear", OPUS)


@pytest.mark.parametrize("word", ["page", "418"])
def test_what_nobody_knows_is_shown_to_one_other_model_and_then_fails(word: str) -> None:
    found = scene(word, word, "ok")
    ending = _ending(found)
    assert found.provider.calls == [OPUS, SONNET]
    assert ending.state is State.FAILED
    assert {ended.how for ended in found.admission.ends} == {"not_sent" if word == "page" else "well"}


def test_a_redirect_pauses_all_calls_and_the_job_waits() -> None:
    found = scene("moved")
    ending = _ending(found)
    assert (ending.state, ending.outcome, ending.due_in_s) == (State.WAITING, "redirected", 60)
    assert [ended.how for ended in found.admission.ends] == ["key_refused"]
