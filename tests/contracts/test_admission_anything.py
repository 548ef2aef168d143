"""Whatever is asked and told in whatever order: both hosts of the script answer the same, and nobody is lost."""

from typing import Any, get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.plays.admission_scripts import Clock, Door, in_memory, in_redis
from worker.admission.admission import Denied, Granted, Request, Result, ResultKind

_HOWS = st.sampled_from(get_args(ResultKind))
_LIMITS = st.dictionaries(
    st.sampled_from(["requests", "input", "output"]),
    st.tuples(st.integers(1, 10_000), st.integers(0, 10_000)),
    max_size=3,
)
_MODELS = st.sampled_from([("opus", "opus-4"), ("sonnet", "sonnet-4"), ("opus-older", "opus-4")])
_TOKENS = st.none() | st.integers(0, 20_000)


@st.composite
def _steps(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Draw what happens: time that passes, requests that ask, ends of those that left (or never did), and looks."""
    asks = st.fixed_dictionaries(
        {
            "job": st.sampled_from(["one", "two", "three"]),
            "input_tokens": st.integers(0, 20_000),
            "output_tokens": st.integers(0, 5_000),
            "hold_s": st.sampled_from([1.0, 30.0, 150.0]),
            "patience_s": st.sampled_from([0.0, 5.0, 60.0]),
            "is_urgent": st.booleans(),
            "is_retry": st.booleans(),
            "has_waited": st.booleans(),
            "is_again": st.booleans(),
        }
    )
    ends = st.fixed_dictionaries(
        {
            "how": _HOWS | st.just("well"),
            "latency_ms": st.integers(0, 200_000),
            "input_tokens": _TOKENS,
            "output_tokens": _TOKENS,
            "retry_after_s": st.none() | st.sampled_from([0.0, 1.5, 900.0]),
            "limits": _LIMITS,
            "is_slow": st.booleans(),
            "is_again": st.booleans(),
            "is_own_fault": st.booleans(),
        }
    )
    step = (
        st.tuples(st.just("pass"), st.sampled_from([0.001, 0.7, 5.0, 61.0, 3_600.0]))
        | st.tuples(st.just("ask"), st.tuples(_MODELS, asks))
        | st.tuples(st.just("tell"), st.tuples(st.integers(0, 50), _MODELS, ends))
        | st.tuples(st.just("look"), st.floats(0, 60))
    )
    return draw(st.lists(step, max_size=60))


def _reported(door: Door, steps: list[tuple[str, Any]]) -> list[Any]:
    answers: list[Any] = []
    left: list[tuple[str, str, str]] = []
    for number, (what, words) in enumerate(steps):
        match what:
            case "pass":
                door.clock.pass_s(words)
            case "ask":
                (model, group), sizes = words
                answers.append(door.admission.acquire(Request(ticket=f"t{number}", model=model, group=group, **sizes)))
                if isinstance(answers[-1], Granted):
                    left.append((f"t{number}", model, group))
            case "tell":
                index, (model, group), end = words
                ticket, model, group = left.pop(index % len(left)) if left else ("nobody's", model, group)
                answers.append(door.admission.release(Result(ticket=ticket, model=model, group=group, **end)))
            case _:
                rooms = door.admission.capacity({"opus": "opus-4", "sonnet": "sonnet-4"}, horizon_s=words)
                answers.append(rooms)
    return answers


@given(steps=_steps())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_hosts_answer_the_same(redis_url: str, steps: list[tuple[str, Any]]) -> None:
    here, there = Clock(), Clock()
    one = _reported(Door(in_memory(here), here), steps)
    two = _reported(Door(in_redis(redis_url, there, empty=True), there), steps)
    assert one == two


@given(steps=_steps())
def test_whatever_happened_one_may_leave_in_the_end(steps: list[tuple[str, Any]]) -> None:
    clock = Clock()
    door = Door(in_memory(clock), clock)
    for answer in _reported(door, steps):
        if isinstance(answer, Granted):
            assert 0 <= answer.after_s <= 1
        if isinstance(answer, Denied):
            assert answer.wait_s >= 0
    clock.pass_s(20_001 * 60)  # a limit may be one token a minute, and the largest request has 20,000
    answer = door.acquire(ticket="the last one", is_urgent=True)
    assert isinstance(answer, Granted), answer
    door.release("the last one")
    clock.pass_s(86_400)
    assert isinstance(door.acquire(is_urgent=True), Granted)
