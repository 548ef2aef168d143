"""A throttle is told by who, why, since when and until when; a wait by what it waits for."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from models.queue.throttles import Reason, Throttle
from producer.output.wait_lines import held_by, over, throttle_json, throttle_line, waited_for

_NOW = datetime(2026, 11, 29, 12, 3, 52, tzinfo=UTC)
_OPUS = "claude-opus-4-7"


def throttle(reason: Reason, **changes: Any) -> Throttle:
    """Make a throttle that is 42 s old."""
    usual: dict[str, Any] = {"models": (_OPUS,), "since": _NOW - timedelta(seconds=42), "read_at": _NOW}
    return Throttle(reason=reason, **{**usual, **changes})


def _in(seconds: float) -> datetime:
    return _NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            throttle("circuit_open", kind="overloaded", until=_in(3.2)),
            (
                "claude-opus-4-7 is overloaded since 12:03:10 UTC (for 42 s): one probe at a time, the next in 3.2 s; "
                "its jobs step down or wait"
            ),
        ),
        (
            throttle("circuit_open", kind="sunspots", until=_in(0)),
            (
                "claude-opus-4-7 is out of rotation (sunspots) since 12:03:10 UTC (for 42 s): one probe at a time, "
                "the next at once; its jobs step down or wait"
            ),
        ),
        (
            throttle("limited", kind="output", limit=8000, until=_in(4)),
            (
                "this key's output tokens for claude-opus-4-7 (8,000 a minute) are used up "
                "since 12:03:10 UTC (for 42 s): jobs wait or step down; a usual call fits in 4.0 s"
            ),
        ),
        (
            throttle("limited", kind="retry-after", until=_in(40)),
            (
                "the API takes no call to claude-opus-4-7 since 12:03:10 UTC (for 42 s): the next in 40 s, by its "
                "retry-after; jobs wait or step down"
            ),
        ),
        (
            throttle("full", limit=8, in_flight=8),
            (
                "our own limit of calls in flight holds claude-opus-4-7 since 12:03:10 UTC (for 42 s): "
                "8 of 8 calls are in flight; jobs wait"
            ),
        ),
        (
            throttle("key_paused", kind="key_refused", until=_in(12)),
            (
                "the API refuses this key since 12:03:10 UTC (for 42 s): one probe at a time, the next in 12 s; "
                "all jobs wait"
            ),
        ),
        (
            throttle("key_paused", kind="key_refused", until=_in(12), models=("cloud/opus",)),
            (
                "endpoint cloud refuses its key since 12:03:10 UTC (for 42 s): one probe at a time, the next in 12 s; "
                "its jobs wait or step down"
            ),
        ),
        (
            throttle("endpoint_out", kind="outage", until=_in(3), models=("cloud/opus", "cloud/haiku")),
            (
                "endpoint cloud is out, with all its models, since 12:03:10 UTC (for 42 s): one probe at a time, "
                "the next in 3.0 s; its jobs step down or wait"
            ),
        ),
        (
            throttle("ramp", speed=0.5, until=_in(73)),
            (
                "the API limits how fast this key's traffic grows since 12:03:10 UTC (for 42 s): calls leave at 50% of "
                "their speed, at all of it in 1 min 13 s"
            ),
        ),
    ],
)
def test_a_throttle_tells_who_why_and_since_when(found: Throttle, message: str) -> None:
    assert throttle_line(found) == message


def test_a_throttle_of_another_day_names_its_day() -> None:
    message = throttle_line(throttle("full", since=_NOW - timedelta(days=2)))
    assert "since 2026-11-27 12:03:52 UTC (for 2 d)" in message


def test_a_time_that_is_past_is_never_shown_as_one_to_come() -> None:
    late = throttle("circuit_open", kind="overloaded", until=_in(-9), since=_in(9))
    assert (late.for_s, late.left_s) == (0.0, 0.0)
    assert "(for 0.0 s): one probe at a time, the next at once" in throttle_line(late)


@pytest.mark.parametrize("reason", get_args(Reason))
def test_each_throttle_has_a_line_and_a_holder(reason: Reason) -> None:
    assert throttle_line(throttle(reason))
    assert held_by(throttle(reason))


@pytest.mark.parametrize(
    ("reason", "limit", "per_minute", "message"),
    [
        ("full", None, None, "a free call to opus (our own limit of calls in flight)"),
        ("limited", "output", 8000, "opus's output tokens (8,000 a minute)"),
        ("limited", "requests", None, "opus's requests"),
        ("limited", "retry-after", None, "the end of the API's retry-after for opus"),
        ("limited", None, None, "opus's limits"),
        ("circuit_open", None, None, "a probe that finds opus well"),
        ("key_paused", None, None, "the end of the key's pause"),
        ("server_error", None, None, "another round through the chain (server_error)"),
    ],
)
def test_a_wait_is_told_by_what_it_waits_for(
    reason: str, limit: str | None, per_minute: float | None, message: str
) -> None:
    assert waited_for(reason, "opus", limit=limit, per_minute=per_minute) == message


def test_a_program_reads_reason_models_and_seconds() -> None:
    assert throttle_json(throttle("limited", kind="output", limit=8000, until=_in(4))) == {
        "reason": "limited",
        "models": [_OPUS],
        "kind": "output",
        "since": "2026-11-29T12:03:10+00:00",
        "for_s": 42.0,
        "next_in_s": 4.0,
        "limit": 8000,
        "in_flight": None,
    }


def test_only_the_throttles_of_a_model_hold_it_back() -> None:
    ours = throttle("full")
    assert over(_OPUS, [ours, throttle("full", models=("claude-haiku-4-5",))]) == [ours]
