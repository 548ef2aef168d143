"""The log's words: what happened and what it cost, and never a prompt, an answer or a key."""

import logging
from datetime import date

import pytest

from tests.support.plays.walk_scene import OPUS, PARAMS, HandClock, scene
from worker import logs
from worker.events import (
    BreakerChanged,
    CircuitClosed,
    CircuitOpened,
    DaysRolled,
    DeliveryDropped,
    Event,
    JobLost,
    JobsSent,
    KeyPaused,
    RedisLost,
    RedisRecovered,
    TimerFailed,
)

_CANARY = "canary-of-the-prompt"
_PARAMS = {**PARAMS, "system": _CANARY, "messages": [{"role": "user", "content": _CANARY}]}
_SCRIPTS = [
    ["ok"],
    ["max_tokens"],
    ["refusal"],
    ["529", "500", "500", "cut"],
    ["html", "timed_out", "unreachable", "unreachable"],
    ["400"],
    ["too_long"],
    ["401"],
    ["spend"],
    ["429:3"],
    ["404", "404", "404"],
]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Hear everything."""
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.mark.parametrize("script", _SCRIPTS)
def test_no_line_holds_a_word_of_prompt_or_answer(logged: pytest.LogCaptureFixture, script: list[str]) -> None:
    job = scene(*script, params=_PARAMS, report=logs.log)
    job.run()
    job.run()
    assert "job job-1: attempt 1 (start) on opus-4-7 d0: " in logged.text
    assert "delivery dropped" in logged.text
    for secret in (_CANARY, "Harbours were dredged."):
        assert secret not in logged.text


def test_an_attempt_is_told_with_its_model_depth_end_time_and_cost(logged: pytest.LogCaptureFixture) -> None:
    job = scene("529", "cut", "ok", report=logs.log)
    job.run()
    assert logged.messages == [
        "job job-1: attempt 1 (start) on opus-4-7 d0: overloaded in 7 ms, cost $0",
        "job job-1: attempt 2 (fallback) on sonnet-4-6 d1: cut in 7 ms, cost unknown",
        "job job-1: attempt 3 (fallback) on haiku-4-5 d2: answered in 7 ms, cost $0.007500000",
    ]


@pytest.mark.parametrize(
    ("script", "level", "message"),
    [
        (["400"], logging.WARNING, "job job-1: failed (bad_request)"),
        (["429:3"], logging.INFO, "job job-1: waits 3.0 s (rate_limited)"),
    ],
)
def test_an_end_without_an_answer_is_told(
    logged: pytest.LogCaptureFixture, script: list[str], level: int, message: str
) -> None:
    job = scene(*script, report=logs.log)
    job.run()
    assert logged.record_tuples[-1] == ("stepdown", level, message)


def test_a_paused_key_is_an_error_that_says_what_to_do(logged: pytest.LogCaptureFixture) -> None:
    logs.log(KeyPaused(outcome="unauthorized", message=f"unauthorized: {_CANARY}", for_s=60))
    (record,) = logged.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        "the key is paused for 60 s (unauthorized): jobs wait, none fails; mend the key or its limit"
    )


def test_the_other_events_have_a_line_each(logged: pytest.LogCaptureFixture) -> None:
    for event in (
        DeliveryDropped(job_id="job-1"),
        JobLost(job_id="job-1"),
        JobsSent(lane=2, count=7),
        TimerFailed(name="dispatcher", message="broker: away"),
        DaysRolled(first=date(2026, 3, 30), last=date(2026, 4, 1), count=3),
    ):
        logs.log(event)
    assert [record.levelname for record in logged.records] == ["INFO", "WARNING", "INFO", "WARNING", "INFO"]
    assert logged.messages[2:] == [
        "dispatcher: 7 jobs sent to rung-2",
        "dispatcher: broker: away",
        "rollup: 3 days added up, 2026-03-30 to 2026-04-01",
    ]


def test_a_model_of_a_resumed_job_is_named_as_people_do(logged: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    job = scene("429:3", "ok", chain=(OPUS,), clock=clock, report=logs.log)
    job.run()
    clock.now_s = 3
    job.run()
    assert "attempt 2 (resume) on opus-4-7 d0: answered" in logged.messages[-1]


def test_what_becomes_of_a_model_and_of_the_fleet_is_told(logged: pytest.LogCaptureFixture) -> None:
    for event in (
        CircuitOpened(model=OPUS, how="overloaded"),
        CircuitClosed(model=OPUS, how="well"),
        RedisLost(message="TimeoutError", workers=2),
        RedisRecovered(untold=7),
    ):
        logs.log(event)
    assert logged.messages == [
        "opus-4-7 is out of rotation for all workers (overloaded): one probe at a time",
        "opus-4-7 is back in rotation",
        "Redis is away (TimeoutError): this worker keeps to its part of the limits, 1 of 2",
        "Redis is back: limits are shared again; it was told of 7 calls that ended meanwhile",
    ]


def test_every_event_has_a_line() -> None:
    events = {each.__name__ for each in (*Event.__subclasses__(), *BreakerChanged.__subclasses__())}
    assert {each.__name__ for each in logs.LINES} == events - {"BreakerChanged"}
