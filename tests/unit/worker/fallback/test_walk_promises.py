"""Promises that hold for every script of ends, every chain, every span and every wait."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.chain.chain import RungRange
from models.outcome import Outcome, State
from tests.support.plays.walk_scene import HAIKU, OPUS, SONNET, HandClock, Scene, scene
from worker.fallback.decision import DENIED
from worker.fallback.walk import Walked

pytestmark = pytest.mark.slow
_MODELS = (OPUS, "claude-opus-4-6", SONNET, "claude-sonnet-4-5", HAIKU)
_WORDS = [
    *(
        "ok",
        "max_tokens",
        "window",
        "empty",
        "refusal",
        "paused",
        "novel",
        "page",
        "moved",
        "cut",
        "timed_out",
        "unreachable",
        "html",
        "too_long",
        "spend",
        "ramp",
    ),
    *("ramp:2", "400", "401", "402", "403", "404", "408", "418", "409", "413", "429", "429:0", "429:3", "429:3600"),
    *("500", "500:2", "504", "529", "529:1", "529:60"),
]
_FAILURES = [word for word in _WORDS if word not in ("ok", "max_tokens", "window", "novel", "paused")]
_MAY_BE_BILLED = {"answered", "truncated", "refused", "empty", "malformed", "cut", "timed_out", "unclear"}
_DOUBTFUL = {"truncated", "unclear"}
_TURNS = {"refused", "empty", "unfinished"}
_ABOUT_THE_KEY = {"unauthorized", "spend_limit", "redirected"}
_ABOUT_THE_JOB = {"bad_request", "too_large"}
_TRIED_TWICE = {"server_error", "unreachable"}
_DELIVERIES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Everything that happened to a job: its scene, and for each delivery the walk and the attempts until then."""

    job: Scene
    deliveries: list[tuple[Walked, int]]


@st.composite
def lives(draw: st.DrawFn, words: list[str] = _WORDS) -> Life:
    """Draw a chain, a span, a policy and a script, and take the job through its deliveries."""
    chain = tuple(draw(st.lists(st.sampled_from(_MODELS), min_size=1, max_size=5, unique=True)))
    last = len(chain) - 1
    start = draw(st.integers(0, last))
    span = RungRange(start=start, floor=draw(st.integers(start, last)), ceiling=draw(st.integers(0, start)))
    clock = HandClock()
    job = scene(
        *draw(st.lists(st.sampled_from(words), max_size=30)),
        chain=chain,
        span=span,
        clock=clock,
        climbs=draw(st.frozensets(st.sampled_from([Outcome.TRUNCATED, Outcome.REFUSED, Outcome.EMPTY]))),
        patience_s=draw(st.sampled_from([0.0, 2.5, 5.0])),
        draw=lambda: draw(st.floats(0, 1)),
    )
    deliveries: list[tuple[Walked, int]] = []
    for _ in range(_DELIVERIES):
        walked = job.walk(time_left_s=draw(st.sampled_from([0.0, 0.5, 100.0, 86_400.0])))
        deliveries.append((walked, len(job.attempts)))
        if job.job.state is not State.WAITING:
            break
        assert job.job.due_at is not None
        clock.now_s = job.job.due_at
    return Life(job=job, deliveries=deliveries)


@given(lives())
@settings(max_examples=300)
def test_a_rung_that_may_have_been_billed_is_never_called_again_but_once_for_more_room(lived: Life) -> None:
    billed: set[str] = set()
    assert [reported[1] for reported in lived.job.story()].count("raise") <= 1
    for (_, reason, _, outcome), model in zip(lived.job.story(), lived.job.provider.calls, strict=True):
        assert model not in billed or reason == "raise"
        if outcome in _MAY_BE_BILLED:
            billed.add(model)
        elif reason == "raise":  # for free: what was billed before it is still to be made up for
            billed.discard(model)


@given(lives())
@settings(max_examples=300)
def test_a_delivery_calls_each_rung_once_and_retries_once_what_may_pass(lived: Life) -> None:
    first = 0
    for _, last in lived.deliveries:
        made = zip(lived.job.provider.calls[first:last], lived.job.story()[first:last], strict=True)
        turns = list[tuple[str, str, str]]()  # model, reason of the first pass, outcome of the last
        for model, (_, reason, _, outcome) in made:
            begun = turns.pop()[1] if reason == "continue" else reason
            turns.append((model, begun, outcome))
        if "raise" in (reasons := [reason for _, reason, _ in turns]):  # the call before it is made up for
            del turns[reasons.index("raise") - 1]
        for model in {called for called, _, _ in turns}:
            outcomes = [outcome for called, _, outcome in turns if called == model]
            assert len(outcomes) == 1 or (len(outcomes) == 2 and outcomes[0] in _TRIED_TWICE)
        first = last


@given(lives())
@settings(max_examples=300)
def test_no_rung_follows_what_no_other_model_cures(lived: Life) -> None:
    calls, story, chain = lived.job.provider.calls, lived.job.story(), lived.job.worker.chain.models
    for position, (_, _, _, outcome) in enumerate(story):
        if outcome in _ABOUT_THE_JOB:
            assert position == len(story) - 1
            begun = max(last for last in (0, *(last for _, last in lived.deliveries)) if last <= position)
            has_answer = _DOUBTFUL & {reported[3] for reported in story[begun:position]}  # and it climbed for a better
            assert lived.job.job.state is (State.SUCCEEDED if has_answer else State.FAILED)
        if outcome in _ABOUT_THE_KEY:
            (ending,) = [
                walked.ending for walked, last in lived.deliveries if last == position + 1
            ]  # the walk ends there
            assert ending is not None
            denied = {
                chain[rung] for rung, reason in ending.given_up.items() if reason in DENIED
            }  # one with room goes first
            assert {*calls[position + 1 : position + 2]} <= {calls[position], *denied}


@given(lives())
@settings(max_examples=300)
def test_every_attempt_is_written_down_numbered_and_closed(lived: Life) -> None:
    attempts = lived.job.attempts
    assert len(attempts) == len(lived.job.provider.calls)
    assert [one.opening.number for one in attempts] == list(range(1, len(attempts) + 1))
    assert [one.opening.model for one in attempts] == lived.job.provider.calls
    for one in attempts:
        assert one.closing is not None
        assert (one.closing.cost_usd is None) == (one.closing.cost_status == "unknown")


@given(lives())
@settings(max_examples=300)
def test_every_call_is_within_the_jobs_span(lived: Life) -> None:
    span = lived.job.job.new.span
    assert all(span.ceiling <= one.opening.rung <= span.floor for one in lived.job.attempts)


@given(lives())
@settings(max_examples=300)
def test_every_delivery_ends_in_a_state_a_job_may_have(lived: Life) -> None:
    for walked, _ in lived.deliveries:
        ending = walked.ending
        assert ending is not None
        if ending.state is not State.SUCCEEDED and ending.message is not None:
            assert _TURNS & {str(one.closing and one.closing.outcome) for one in lived.job.attempts}
        match ending.state:
            case State.SUCCEEDED:
                assert ending.message is not None
                assert ending.model_used
                assert ending.fallback_depth is not None
                assert (ending.due_in_s, ending.error) == (None, None)
                assert ending.outcome in {"answered", *_DOUBTFUL}
            case State.WAITING:
                assert ending.due_in_s is not None
                assert ending.due_in_s >= 0
                assert ending.given_up.get(ending.rung) in {None, "waited"}
            case State.FAILED:
                assert ending.error
                assert ending.due_in_s is None
            case other:
                raise AssertionError(other)


@given(st.lists(st.sampled_from(_WORDS), max_size=12))
@settings(max_examples=300)
def test_without_time_nothing_is_parked(script: list[str]) -> None:
    job = scene(*script)
    job.walk(time_left_s=0)
    assert job.job.state in {State.SUCCEEDED, State.FAILED}


@given(lives(_FAILURES))
@settings(max_examples=300)
def test_the_depth_of_an_answer_counts_the_rungs_given_up_before_it_in_the_order_of_the_span(lived: Life) -> None:
    for walked, last in lived.deliveries:
        if walked.ending is None or walked.ending.state is not State.SUCCEEDED:
            continue
        opening = lived.job.attempts[last - 1].opening
        order = lived.job.job.new.span.available(())
        before = [rung for rung in order[: order.index(opening.rung)] if rung in walked.ending.given_up]
        assert walked.ending.fallback_depth == opening.fallback_depth == len(before)
