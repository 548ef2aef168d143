"""The table: what follows each outcome, for a job at the primary of a chain of three with a day of time."""

from dataclasses import replace
from typing import Any

import pytest

from models.chain.chain import Chain, RungRange
from models.money.usage import Usage
from models.outcome import Outcome, Reason
from tests.support.plays.walk_scene import A_DAY_S, CHAIN, HAIKU, OPUS, SONNET, WINDOWS
from worker.fallback.decide import decide, step_past
from worker.fallback.decision import (
    NO_TIME,
    SAME_LIMIT,
    Answered,
    ChainPosition,
    Continue,
    Fallback,
    Park,
    Policy,
    Retry,
    Stop,
)
from worker.provider.reply import Failure, Reply

_CONTENT = ({"type": "text", "text": "One moment."},)
_REPLIES = {
    *(Outcome.ANSWERED, Outcome.TRUNCATED, Outcome.REFUSED, Outcome.EMPTY, Outcome.INVALID),
    *(Outcome.UNFINISHED, Outcome.UNCLEAR),
}
_CLIMBING = [Outcome.TRUNCATED, Outcome.REFUSED, Outcome.EMPTY, Outcome.INVALID]
_CLIMBS = frozenset(_CLIMBING)
_AT_FIRST = ChainPosition(rung=0, given_up={}, rounds=0)


def _end(outcome: Outcome, retry_after_s: float | None = None) -> Reply | Failure:
    if outcome not in _REPLIES:
        return Failure(outcome=outcome, message="no", latency_ms=1, retry_after_s=retry_after_s)
    return Reply(
        outcome=outcome,
        message={"content": [*_CONTENT]},
        usage=Usage(input_tokens=1, output_tokens=1),
        served_model=OPUS,
        stop_reason="end_turn",
        message_id=None,
        request_id=None,
        latency_ms=1,
    )


def _policy(*, models: tuple[str, ...] = CHAIN, span: RungRange | None = None, **changes: Any) -> Policy:
    policy = Policy(
        chain=Chain(models=models),
        span=span or RungRange(start=0, floor=len(models) - 1, ceiling=0),
        climbs=frozenset(),
        patience_s=5,
        key_pause_s=60,
        time_left_s=A_DAY_S,
        draw=lambda: 1.0,
        window_of=WINDOWS.get,
    )
    return replace(policy, **changes)


def _next(outcome: Outcome) -> Fallback:
    return Fallback(rung=1, reason=Reason.FALLBACK, given_up={0: str(outcome)})


_KEY = Park(after_s=60, rung=0, given_up={}, rounds=0)
_TABLE = {
    Outcome.ANSWERED: Answered(),
    Outcome.TRUNCATED: Answered(),
    Outcome.REFUSED: Stop(),
    Outcome.UNFINISHED: Continue(content=_CONTENT),
    Outcome.UNCLEAR: _next(Outcome.UNCLEAR),
    Outcome.EMPTY: Stop(),
    Outcome.INVALID: Stop(),
    Outcome.MALFORMED: _next(Outcome.MALFORMED),
    Outcome.CUT: _next(Outcome.CUT),
    Outcome.TIMED_OUT: _next(Outcome.TIMED_OUT),
    Outcome.UNREACHABLE: Retry(),
    Outcome.BAD_REQUEST: Stop(),
    Outcome.OVER_LIMIT: _next(Outcome.OVER_LIMIT),
    Outcome.REJECTED: _next(Outcome.REJECTED),
    Outcome.BLOCKED: _next(Outcome.BLOCKED),
    Outcome.REDIRECTED: _KEY,
    Outcome.TOO_LARGE: Stop(),
    Outcome.TOO_LONG: Stop(),  # no window is larger than the primary's
    Outcome.SPEND_LIMIT: _KEY,
    Outcome.UNAUTHORIZED: _KEY,
    Outcome.MODEL_MISSING: _next(Outcome.MODEL_MISSING),
    Outcome.MODEL_DENIED: _next(Outcome.MODEL_DENIED),
    Outcome.RATE_LIMITED: _next(Outcome.RATE_LIMITED),
    Outcome.RAMP_LIMITED: _next(Outcome.RAMP_LIMITED),
    Outcome.SERVER_ERROR: Retry(),
    Outcome.OVERLOADED: _next(Outcome.OVERLOADED),
    Outcome.NOT_RUN: Stop(),
    Outcome.UNKNOWN: Stop(),
    Outcome.LATE: Stop(),
}
_TRIED_TWICE = {Outcome.UNREACHABLE, Outcome.SERVER_ERROR}
_LASTING = {
    *(Outcome.TRUNCATED, Outcome.REFUSED, Outcome.MALFORMED, Outcome.CUT),
    *(Outcome.TIMED_OUT, Outcome.TOO_LONG, Outcome.MODEL_MISSING, Outcome.EMPTY, Outcome.INVALID),
    *(Outcome.UNCLEAR, Outcome.REJECTED, Outcome.BLOCKED, Outcome.MODEL_DENIED, Outcome.OVER_LIMIT),
}


def test_the_table_has_every_outcome() -> None:
    assert _TABLE.keys() == set(Outcome)


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_has_its_decision(outcome: Outcome) -> None:
    assert decide(_end(outcome), _AT_FIRST, _policy()) == _TABLE[outcome]


@pytest.mark.parametrize("outcome", Outcome)
def test_a_second_time_on_the_same_rung_there_is_no_retry(outcome: Outcome) -> None:
    expected = _next(outcome) if outcome in _TRIED_TWICE else _TABLE[outcome]
    assert decide(_end(outcome), replace(_AT_FIRST, retries=1), _policy()) == expected


@pytest.mark.parametrize("outcome", sorted(_TABLE.keys() - _REPLIES))
def test_with_the_other_rungs_given_up_for_free_the_job_waits_for_another_round(outcome: Outcome) -> None:
    place = ChainPosition(rung=0, given_up={1: "overloaded", 2: "server_error"}, rounds=2, retries=1)
    decision = decide(_end(outcome), place, _policy())
    if isinstance(_TABLE[outcome], Fallback | Retry):
        given_up = {0: str(outcome)} if outcome in _LASTING else {}
        assert decision == Park(after_s=8, rung=1 if given_up else 0, given_up=given_up, rounds=3)
    else:
        assert type(decision) is type(_TABLE[outcome])


@pytest.mark.parametrize("reason", sorted([*_LASTING, "unfit"]))
def test_what_may_have_been_billed_and_what_is_hopeless_is_not_asked_in_the_next_round(reason: str) -> None:
    place = ChainPosition(rung=2, given_up={0: str(reason), 1: "overloaded"}, rounds=0)
    decision = decide(_end(Outcome.OVERLOADED), place, _policy())
    assert decision == Park(after_s=2, rung=1, given_up={0: str(reason)}, rounds=1)


def test_when_no_rung_can_be_asked_again_the_job_stops() -> None:
    place = ChainPosition(rung=2, given_up={0: "cut", 1: "model_missing"}, rounds=0)
    assert decide(_end(Outcome.TIMED_OUT), place, _policy()) == Stop()


def test_a_wait_that_ends_after_the_deadline_is_no_wait() -> None:
    place = ChainPosition(rung=2, given_up={0: "overloaded", 1: "overloaded"}, rounds=0)
    assert decide(_end(Outcome.OVERLOADED), place, _policy(time_left_s=2)) == Stop(because=NO_TIME)
    assert isinstance(decide(_end(Outcome.OVERLOADED), place, _policy(time_left_s=2.1)), Park)
    assert decide(_end(Outcome.UNAUTHORIZED), _AT_FIRST, _policy(time_left_s=60)) == Stop(because=NO_TIME)


_LIMITED = [Outcome.RATE_LIMITED, Outcome.RAMP_LIMITED, Outcome.OVERLOADED]


@pytest.mark.parametrize("outcome", _LIMITED)
def test_a_rung_that_asks_for_a_second_wait_is_stepped_past(outcome: Outcome) -> None:
    place = ChainPosition(rung=0, given_up={0: "waited"}, rounds=0)
    decision = decide(_end(outcome, 1.0), place, _policy())
    assert isinstance(decision, Fallback)
    assert decision.given_up[0] == outcome


@pytest.mark.parametrize("outcome", _LIMITED)
@pytest.mark.parametrize("seconds", [0.0, 1.0, 5.0])
def test_a_wait_within_patience_is_waited_on_the_same_rung(outcome: Outcome, seconds: float) -> None:
    place = ChainPosition(rung=1, given_up={0: "cut"}, rounds=1)
    assert decide(_end(outcome, seconds), place, _policy()) == Park(
        after_s=seconds, rung=1, given_up={0: "cut", 1: "waited"}, rounds=1
    )


@pytest.mark.parametrize("outcome", _LIMITED)
@pytest.mark.parametrize(("seconds", "time_left_s"), [(5.1, A_DAY_S), (3600, A_DAY_S), (1.0, 1.0), (0.0, 0.0)])
def test_a_longer_wait_than_patience_or_time_is_a_step(outcome: Outcome, seconds: float, time_left_s: float) -> None:
    assert decide(_end(outcome, seconds), _AT_FIRST, _policy(time_left_s=time_left_s)) == replace(
        _next(outcome), waits={0: seconds}
    )


def test_on_the_last_rung_the_job_waits_for_the_first_rung_that_may_be_free() -> None:
    tried = {0: "overloaded", 1: "overloaded"}
    decision = decide(_end(Outcome.RATE_LIMITED, 3600), ChainPosition(rung=2, given_up=tried, rounds=0), _policy())
    assert decision == Park(after_s=2, rung=0, given_up={}, rounds=1)  # the others said nothing: their back-off
    reported = ChainPosition(rung=2, given_up=tried, rounds=0, waits={0: 900, 1: 30})
    assert decide(_end(Outcome.RATE_LIMITED, 3600), reported, _policy()) == Park(
        after_s=30, rung=0, given_up={}, rounds=0
    )


@pytest.mark.parametrize("outcome", [Outcome.RATE_LIMITED, Outcome.RAMP_LIMITED])
def test_a_model_that_draws_on_the_same_limit_is_skipped(outcome: Outcome) -> None:
    models = (OPUS, "claude-opus-4-6", SONNET, "claude-opus-4-8")
    given_up = {0: str(outcome), 1: SAME_LIMIT, 3: SAME_LIMIT}
    assert decide(_end(outcome), _AT_FIRST, _policy(models=models)) == Fallback(
        rung=2, reason=Reason.FALLBACK, given_up=given_up
    )


def test_an_overloaded_model_does_not_rule_out_others_of_its_limit() -> None:
    decision = decide(_end(Outcome.OVERLOADED), _AT_FIRST, _policy(models=(OPUS, "claude-opus-4-6", SONNET)))
    assert decision == _next(Outcome.OVERLOADED)


def test_skipped_for_the_same_limit_is_asked_again_in_the_next_round() -> None:
    decision = decide(_end(Outcome.RATE_LIMITED), _AT_FIRST, _policy(models=(OPUS, "claude-opus-4-6")))
    assert decision == Park(after_s=2, rung=0, given_up={}, rounds=1)


@pytest.mark.parametrize("outcome", _CLIMBING)
def test_it_climbs_to_the_next_better_rung_only_where_climb_on_says_so(outcome: Outcome) -> None:
    place = ChainPosition(rung=2, given_up={}, rounds=0)
    climbing = decide(_end(outcome), place, _policy(climbs=frozenset({outcome})))
    assert climbing == Fallback(rung=1, reason=Reason.CLIMB, given_up={2: str(outcome)})
    assert decide(_end(outcome), place, _policy(climbs=_CLIMBS - {outcome})) == _TABLE[outcome]


def test_a_refusal_that_may_climb_goes_down_where_no_better_model_is_left() -> None:
    policy = _policy(climbs=frozenset({Outcome.REFUSED}))
    assert decide(_end(Outcome.REFUSED), _AT_FIRST, policy) == _next(Outcome.REFUSED)
    place = ChainPosition(rung=2, given_up={0: "refused", 1: "refused"}, rounds=0)
    assert decide(_end(Outcome.REFUSED), place, policy) == Stop()


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.BLOCKED, Outcome.UNCLEAR])
def test_what_nobody_knows_is_shown_to_one_other_model_and_to_no_third(outcome: Outcome) -> None:
    for first in ("rejected", "blocked", "unclear"):
        place = ChainPosition(rung=1, given_up={0: first}, rounds=0)
        expected = Answered() if outcome is Outcome.UNCLEAR else Stop()
        assert decide(_end(outcome), place, _policy()) == expected


@pytest.mark.parametrize("outcome", sorted(_CLIMBING[:1] + _CLIMBING[2:]))
def test_it_does_not_climb_past_its_ceiling_nor_where_all_above_is_given_up(outcome: Outcome) -> None:
    at_ceiling = _policy(climbs=_CLIMBS, span=RungRange(start=1, floor=2, ceiling=1))
    assert decide(_end(outcome), ChainPosition(rung=1, given_up={}, rounds=0), at_ceiling) == _TABLE[outcome]
    place = ChainPosition(rung=1, given_up={0: "overloaded"}, rounds=0)
    assert decide(_end(outcome), place, _policy(climbs=_CLIMBS)) == _TABLE[outcome]


_CHEAP_FIRST = RungRange(start=2, floor=2, ceiling=0)


def test_a_prompt_that_is_too_long_goes_only_to_a_larger_window() -> None:
    models = (OPUS, HAIKU, "claude-haiku-of-the-same-size")
    policy = _policy(models=models, span=_CHEAP_FIRST, window_of={**WINDOWS, models[2]: 200_000}.get)
    decision = decide(_end(Outcome.TOO_LONG), ChainPosition(rung=2, given_up={}, rounds=0), policy)
    assert decision == Fallback(rung=0, reason=Reason.CLIMB, given_up={1: "too_long", 2: "too_long"})


def test_a_larger_window_that_is_overloaded_is_waited_for() -> None:
    place = ChainPosition(rung=2, given_up={0: "overloaded", 1: "cut"}, rounds=0)
    decision = decide(_end(Outcome.TOO_LONG), place, _policy())
    assert decision == Park(after_s=2, rung=0, given_up={1: "cut", 2: "too_long"}, rounds=1)


def test_a_larger_window_that_may_have_been_billed_is_not() -> None:
    place = ChainPosition(rung=2, given_up={0: "timed_out", 1: "cut"}, rounds=0)
    assert decide(_end(Outcome.TOO_LONG), place, _policy()) == Stop()


def test_a_window_nobody_knows_is_not_larger() -> None:
    policy = _policy(window_of={HAIKU: 200_000}.get, span=_CHEAP_FIRST)
    assert decide(_end(Outcome.TOO_LONG), ChainPosition(rung=2, given_up={}, rounds=0), policy) == Stop()


def test_a_job_never_leaves_its_floor_and_ceiling() -> None:
    policy = _policy(span=RungRange(start=1, floor=1, ceiling=1))
    decision = decide(_end(Outcome.OVERLOADED), ChainPosition(rung=1, given_up={}, rounds=0), policy)
    assert decision == Park(after_s=2, rung=1, given_up={}, rounds=1)


def test_a_rung_that_is_passed_over_is_given_up_with_its_reason() -> None:
    decision = step_past(_AT_FIRST, "unfit", _policy())
    assert decision == Fallback(rung=1, reason=Reason.FALLBACK, given_up={0: "unfit"})
    assert step_past(ChainPosition(rung=0, given_up={1: "unfit", 2: "cut"}, rounds=0), "unfit", _policy()) == Stop()
