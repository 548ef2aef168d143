"""Up for quality: an answer that is cut gets more room once, one that will not do is asked for on a better model."""

from decimal import Decimal
from typing import Any

import pytest

from models.chain.chain import RungRange
from models.job.values import NewJob
from models.outcome import Outcome, State
from tests.support.plays.walk_scene import HAIKU, OPUS, PARAMS, SONNET, HandClock, Scene, scene
from worker.fallback.caps import Caps

_FROM_THE_CHEAPEST = RungRange(start=2, floor=2, ceiling=0)
_CUT = frozenset({Outcome.TRUNCATED})


def _job(*script: str, **terms: Any) -> Scene:
    """Set up a job with its own terms; the desk climbs for nothing."""
    changes = {name: terms.pop(name) for name in ("params", "clock", "climbs", "caps") if name in terms}
    found = scene(*script, span=_FROM_THE_CHEAPEST, **changes)
    params = changes.get("params", PARAMS)
    job = NewJob(id="job-1", seq=1, prompt_id="1", task=None, params=params, span=_FROM_THE_CHEAPEST, **terms)
    found.ledger.add(job)
    return found


def _sent(found: Scene) -> list[tuple[str, str, int | None]]:
    return [(one.opening.model, str(one.opening.reason), one.opening.max_tokens) for one in found.attempts]


def test_an_answer_cut_at_max_tokens_gets_four_times_as_much_once() -> None:
    found = _job("max_tokens", "ok", climb_on=_CUT)
    ending = found.walk().ending
    assert _sent(found) == [(HAIKU, "start", None), (HAIKU, "raise", 400)]
    assert found.provider.sent == [100, 400]
    assert ending is not None
    assert (ending.state, ending.is_truncated, ending.fallback_depth) == (State.SUCCEEDED, False, 0)
    assert ending.raised_max_tokens == 400


def test_cut_again_it_climbs_with_as_much() -> None:
    found = _job("max_tokens", "max_tokens", "ok", climb_on=_CUT)
    found.walk()
    assert _sent(found) == [(HAIKU, "start", None), (HAIKU, "raise", 400), (SONNET, "climb", 400)]
    assert found.story()[-1] == (3, "climb", 1, "answered")


def test_no_model_is_asked_for_more_than_it_writes() -> None:
    found = _job("max_tokens", "max_tokens", "ok", climb_on=_CUT, params={**PARAMS, "max_tokens": 50_000})
    found.walk()
    assert found.provider.sent == [50_000, 64_000, 64_000]
    at_most = _job("max_tokens", "ok", climb_on=_CUT, params={**PARAMS, "max_tokens": 64_000})
    at_most.walk()
    assert _sent(at_most) == [(HAIKU, "start", None), (SONNET, "climb", None)]


def test_where_truncated_does_not_climb_it_is_kept_at_once() -> None:
    found = _job("max_tokens", climb_on=frozenset({Outcome.EMPTY}), climbs=_CUT)
    ending = found.walk().ending
    assert found.provider.calls == [HAIKU]
    assert ending is not None
    assert (ending.state, ending.is_truncated) == (State.SUCCEEDED, True)


def test_an_answer_that_filled_the_window_climbs_to_a_larger_one_only() -> None:
    found = _job("window", "window", climb_on=_CUT)
    ending = found.walk().ending
    assert found.provider.calls == [HAIKU, SONNET]  # the window of opus is no larger than that of sonnet
    assert ending is not None
    assert (ending.is_truncated, ending.rung, ending.raised_max_tokens) == (True, 1, None)


def test_a_raise_that_breaks_keeps_the_answer_there_is() -> None:
    found = _job("max_tokens", "400", climb_on=_CUT)
    ending = found.walk().ending
    assert ending is not None
    assert (ending.state, ending.outcome, ending.fallback_depth) == (State.SUCCEEDED, "truncated", 0)
    assert [one.closing is None for one in found.attempts] == [False, False]


def test_a_job_that_was_parked_with_more_room_still_has_it() -> None:
    clock = HandClock()
    found = _job("max_tokens", "429:1", "ok", climb_on=_CUT, expects={"pattern": "^Summary"}, clock=clock)
    found.walk()  # what was cut fails its check: it is no answer to keep
    assert (found.job.state, found.job.due_at) == (State.WAITING, 1)
    clock.now_s = 1
    found.walk()
    assert found.provider.sent == [100, 400, 400]


def test_what_is_held_back_is_the_worst_case_of_the_raised_request() -> None:
    asked: list[int] = []

    def worst(_model: str, params: Any) -> Decimal:
        asked.append(params["max_tokens"])
        return Decimal(params["max_tokens"]) / 1000

    found = scene("max_tokens", "ok", climbs=_CUT, caps=Caps(day_usd=Decimal("0.3")), worst_case_usd=worst)
    ending = found.walk().ending
    assert asked == [100, 400]
    assert found.provider.calls == [OPUS]  # four times as much does not fit under the cap
    assert ending is not None
    assert (ending.state, ending.is_truncated) == (State.SUCCEEDED, True)


@pytest.mark.parametrize("word", ["empty", "invalid", "refusal"])
def test_an_answer_that_will_not_do_climbs_and_the_last_one_fails(word: str) -> None:
    named = {"empty": Outcome.EMPTY, "invalid": Outcome.INVALID, "refusal": Outcome.REFUSED}[word]
    expects = {"pattern": "^Summary"} if word == "invalid" else None
    script = ["ok" if word == "invalid" else word] * 3
    found = _job(*script, climb_on=frozenset({named}), expects=expects)
    ending = found.walk().ending
    assert found.story() == [(1, "start", 0, named), (2, "climb", 1, named), (3, "climb", 2, named)]
    assert ending is not None
    assert (ending.state, ending.outcome) == (State.FAILED, named)
    assert (ending.message is None) is (word == "invalid")  # the others are the API's own turns


def test_where_they_do_not_climb_they_fail_at_once_and_say_why() -> None:
    found = _job("ok", expects={"min_chars": 500})
    ending = found.walk().ending
    assert found.provider.calls == [HAIKU]
    assert ending is not None
    assert ending.state is State.FAILED
    assert str(ending.error).startswith(
        "invalid: its text has 22 characters, at least 500 are asked; change the prompt"
    )


def test_a_cut_answer_that_fails_its_check_is_not_kept() -> None:
    found = _job("max_tokens", expects={"pattern": "^Summary"}, climb_on=frozenset())
    ending = found.walk().ending
    assert ending is not None
    assert (ending.state, ending.outcome, ending.message) == (State.FAILED, "truncated", None)


def test_a_job_waits_as_long_as_it_says_itself() -> None:
    patient = _job("429:20", patience_s=30)
    patient.walk()
    assert (patient.job.state, patient.job.due_at) == (State.WAITING, 20)
    hasty = _job("429:3", "ok", patience_s=0)
    hasty.walk()
    assert hasty.job.state is State.SUCCEEDED
