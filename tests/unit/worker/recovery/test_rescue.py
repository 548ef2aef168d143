"""What becomes of a job whose worker was lost."""

from dataclasses import replace
from decimal import Decimal

import pytest

from models.job.strays import Past
from models.outcome import OnUnknown, Outcome, State
from tests.support.ledgers.job_values import stray
from worker.recovery.rescue import RescuePolicy, rescue_of

OPUS, SONNET, HAIKU = "opus", "sonnet", "haiku"
_POLICY = RescuePolicy(hold_above_usd=Decimal("0.05"), worst_case_usd=lambda _model, _params, **_tier: Decimal("0.01"))
_DEAR = replace(_POLICY, worst_case_usd=lambda _model, _params, **_tier: Decimal("0.051"))
_UNPRICED = replace(_POLICY, worst_case_usd=lambda _model, _params, **_tier: None)


def _past(rung: int, outcome: Outcome | None, *, depth: int | None = None) -> Past:
    fallback_depth = rung if depth is None else depth
    return Past(rung=rung, fallback_depth=fallback_depth, model=(OPUS, SONNET, HAIKU)[rung], outcome=outcome)


def test_a_job_that_was_never_called_is_queued_again() -> None:
    rescue = rescue_of(stray(rung=1, given_up={0: "overloaded"}), _POLICY)
    assert (rescue.state, rescue.rung, rescue.outcome, rescue.error) == (State.QUEUED, 1, None, None)
    assert (rescue.given_up, rescue.crashes, rescue.rebuys) == ({0: "overloaded"}, 1, 0)


@pytest.mark.parametrize(
    ("policy", "choice", "rebuys", "state"),
    [
        (_POLICY, None, 0, State.QUEUED),
        (_DEAR, None, 0, State.WAITING),
        (_UNPRICED, None, 0, State.WAITING),
        (_POLICY, OnUnknown.HOLD, 0, State.WAITING),
        (_DEAR, OnUnknown.REBUY, 0, State.QUEUED),
        (_POLICY, OnUnknown.REBUY, 1, State.WAITING),
    ],
)
def test_a_call_nobody_saw_the_end_of_is_held_or_bought_again_once(
    policy: RescuePolicy, choice: OnUnknown | None, rebuys: int, state: State
) -> None:
    lost = stray(_past(0, Outcome.OVERLOADED), _past(1, None), on_unknown=choice, rebuys=rebuys)
    rescue = rescue_of(lost, policy)
    assert (rescue.state, rescue.rung, rescue.outcome) == (state, 1, Outcome.UNKNOWN)
    assert rescue.rebuys == rebuys + (state is State.QUEUED)
    assert rescue.error is not None
    assert "a call to sonnet, which may have been billed" in rescue.error
    assert ("stepdown release" in rescue.error) is (state is State.WAITING)


@pytest.mark.parametrize("in_flight", [True, False])
def test_a_job_that_five_workers_were_lost_with_fails(*, in_flight: bool) -> None:
    attempts = [_past(0, None)] if in_flight else []
    assert rescue_of(stray(*attempts, crashes=3), _POLICY).state is State.QUEUED
    rescue = rescue_of(stray(*attempts, crashes=4), _POLICY)
    assert (rescue.state, rescue.outcome, rescue.crashes) == (State.FAILED, "poison", 5)
    assert rescue.error == "5 workers in a row were lost with it"


def test_a_call_without_a_queue_ends_with_its_caller() -> None:
    rescue = rescue_of(stray(_past(0, None), batch_id=None), _POLICY)
    assert (rescue.state, rescue.outcome) == (State.FAILED, "abandoned")


@pytest.mark.parametrize(
    ("ends", "rung", "given_up"),
    [
        ([Outcome.OVERLOADED], 0, {}),  # between two rungs: what gives way may be asked again
        ([Outcome.CUT], 1, {0: "cut"}),
        ([Outcome.MODEL_MISSING], 1, {0: "model_missing"}),
        ([Outcome.MODEL_MISSING, Outcome.CUT], 2, {0: "model_missing", 1: "cut"}),
        ([Outcome.UNKNOWN, Outcome.OVERLOADED], 1, {0: "unknown"}),
    ],
)
def test_a_walk_goes_on_where_it_was_and_asks_no_model_twice_that_was_paid_or_gone(
    ends: list[Outcome], rung: int, given_up: dict[int, str]
) -> None:
    rescue = rescue_of(stray(*(_past(at, end) for at, end in enumerate(ends))), _POLICY)
    assert (rescue.state, rescue.rung, dict(rescue.given_up)) == (State.QUEUED, rung, given_up)


@pytest.mark.parametrize(
    ("attempts", "given_up"),
    [
        ([_past(1, None)], {0: "unseen"}),  # passed over, by a worker that is lost
        ([_past(2, None)], {0: "unseen", 1: "unseen"}),
        ([_past(2, None, depth=1)], {1: "unseen"}),  # the primary could not take the request: it is not counted
        ([_past(0, Outcome.OVERLOADED), _past(1, None)], {0: "overloaded"}),
        ([_past(1, Outcome.OVERLOADED), _past(2, None)], {0: "unseen", 1: "overloaded"}),
        ([_past(1, None, depth=0)], {}),
    ],
)
def test_a_job_that_goes_on_lower_down_keeps_its_fallback_depth(attempts: list[Past], given_up: dict[int, str]) -> None:
    rescue = rescue_of(stray(*attempts), _POLICY)
    assert (rescue.rung, dict(rescue.given_up)) == (attempts[-1].rung, given_up)


def test_a_walk_that_had_no_model_left_fails_with_the_last_word() -> None:
    attempts = [_past(rung, Outcome.CUT) for rung in range(3)]
    rescue = rescue_of(stray(*attempts), _POLICY)
    assert (rescue.state, rescue.outcome, rescue.error) == (State.FAILED, Outcome.CUT, "cut: no other model is left")
