"""The time a call is given: CALL_TIMEOUT_S at least, and what max_tokens takes at the model's pace."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chain.deadline import UNMEASURED_PACE, Deadline, deadline_of
from models.money.usage import Usage
from tests.support.plays.walk_scene import OPUS, PARAMS, SONNET, scene
from worker.fallback.collaborators import AROUND_A_CALL_S


def _deadline(
    max_tokens: object, *, pace: float = UNMEASURED_PACE, timeout_s: float = 120, time_left_s: float = 86_400
) -> Deadline:
    return deadline_of({"max_tokens": max_tokens}, pace=pace, call_timeout_s=timeout_s, time_left_s=time_left_s)


@pytest.mark.parametrize(
    ("max_tokens", "after_s"),
    [(1, 120), (1_024, 120), (1_920, 120), (4_096, 256), (8_000, 500), (32_000, 2_000), (64_000, 3_600)],
)
def test_a_long_answer_gets_the_time_that_max_tokens_takes(max_tokens: int, after_s: float) -> None:
    assert _deadline(max_tokens).after_s == after_s


def test_the_setting_scales_every_deadline() -> None:
    assert [_deadline(32_000, timeout_s=timeout_s).after_s for timeout_s in (1, 60, 180)] == [2_000 / 120, 1_000, 3_000]


def test_a_dead_connection_to_a_short_answer_is_cut_at_the_setting() -> None:
    assert [_deadline(1_024, timeout_s=timeout_s).after_s for timeout_s in (1, 3, 120)] == [1, 3, 120]


def test_a_slow_model_gets_more_time_for_the_same_answer() -> None:
    assert (_deadline(4_096, pace=4).after_s, _deadline(1_000, pace=4).after_s) == (1_024, 250)


def test_a_long_deadline_ends_with_the_job_and_never_before_the_setting() -> None:
    assert [_deadline(32_000, time_left_s=left_s).after_s for left_s in (9_000, 300, 20)] == [2_000, 300, 120]


def test_a_caller_who_stands_by_gets_the_whole_time() -> None:
    assert _deadline(32_000, time_left_s=0).after_s == 2_000


@pytest.mark.parametrize(
    ("deadline", "text"),
    [
        (_deadline(32_000), "2,000 s (max_tokens 32000 at 16 tokens/s; CALL_TIMEOUT_S is 120)"),
        (_deadline(32_000, timeout_s=60), "1,000 s (max_tokens 32000 at 32 tokens/s; CALL_TIMEOUT_S is 60)"),
        (_deadline(8_000, timeout_s=1), "4.167 s (max_tokens 8000 at 1,920 tokens/s; CALL_TIMEOUT_S is 1)"),
        (_deadline(100, timeout_s=2.5), "2.5 s (CALL_TIMEOUT_S)"),
        (_deadline(128_000), "3,600 s (the most a call is given; CALL_TIMEOUT_S is 120)"),
        (_deadline(32_000, time_left_s=300), "300 s (the job's own deadline; CALL_TIMEOUT_S is 120)"),
    ],
)
def test_a_deadline_names_its_reason_and_the_setting(deadline: Deadline, text: str) -> None:
    assert str(deadline) == text


@given(
    st.one_of(st.integers(), st.none(), st.text(), st.floats()),
    st.floats(0.1, 1_000),
    st.floats(0.01, 3_600),
    st.floats(0, 1e9),
)
def test_any_request_has_a_deadline_between_the_setting_and_an_hour(
    asked: Any, pace: float, timeout_s: float, left_s: float
) -> None:
    deadline = _deadline(asked, pace=pace, timeout_s=timeout_s, time_left_s=left_s)
    assert timeout_s <= deadline.after_s <= 3_600
    assert "CALL_TIMEOUT_S" in deadline.reason


def test_a_walk_gives_each_call_its_time_and_the_ticket_of_a_stream_a_little_more_than_the_stream() -> None:
    job = scene("529", "ok", params={**PARAMS, "max_tokens": 8_000})
    job.walk()
    assert job.provider.deadlines_s == [500, 500]
    assert [need.hold_s for need in job.admission.needs] == [86_400 + AROUND_A_CALL_S] * 2


def test_a_model_that_was_measured_slow_gets_more_time_and_no_other_does() -> None:
    job = scene("529", "ok", params={**PARAMS, "max_tokens": 8_000})
    for _ in range(10):
        job.worker.expected.learn(OPUS, PARAMS, Usage(input_tokens=9, output_tokens=1_000), latency_ms=100_000)
    job.walk()
    assert (job.provider.calls, job.provider.deadlines_s) == ([OPUS, SONNET], [1_600, 500])


def test_the_decision_after_a_cut_call_names_its_deadline() -> None:
    job = scene("timed_out", "ok", params={**PARAMS, "max_tokens": 8_000})
    job.walk()
    assert job.job.ending is not None
    (decided,) = job.job.ending.decisions
    assert (decided.decision, decided.reason) == ("fallback", "timed_out")
    assert decided.details["deadline"] == "500 s (max_tokens 8000 at 16 tokens/s; CALL_TIMEOUT_S is 120)"
