"""The open jobs of a batch are told by what they wait for and until when, never by a time that is past."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.queue.throttles import Throttle
from models.reports.waits import Waits
from producer.output.wait_lines import wait_lines, waits_json
from tests.support.ledgers.story_rows import HAIKU, MODELS, OPUS

_NOW = datetime(2026, 11, 29, 12, 3, 52, tzinfo=UTC)
_FULL = Throttle(reason="full", models=(OPUS,), since=_NOW - timedelta(seconds=42), read_at=_NOW, limit=8, in_flight=8)


def waits(**changes: Any) -> Waits:
    """Make twelve jobs that wait for the primary's output tokens."""
    usual: dict[str, Any] = {"stage": "waiting", "rung": 0, "jobs": 12, "reason": "limited", "about": 0}
    tokens = {"limit": "output", "per_minute": 8000.0, "next_in_s": 4.0, "last_in_s": 61.0}
    return Waits(**{**usual, **tokens, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "12 wait for claude-opus-4-7's output tokens (8,000 a minute): the next in 4.0 s, the last in 1 min 1 s"),
        ({"jobs": 1, "last_in_s": 4.0}, "1 waits for claude-opus-4-7's output tokens (8,000 a minute): in 4.0 s"),
        ({"due": 12, "reason": "circuit_open"}, "12 wait for a probe that finds claude-opus-4-7 well: due now"),
        ({"due": 3, "next_in_s": 0.0}, "(8,000 a minute): 3 due now, the last in 1 min 1 s"),
        (
            {"reason": "full", "about": 2},
            f"12 wait for a free call to {HAIKU} (our own limit of calls in flight), then for claude-opus-4-7",
        ),
        (
            {"reason": "half_price"},
            "12 wait for a place in a message batch of claude-opus-4-7, at half price; to live calls the next in 4.0 s",
        ),
        (
            {"reason": "message_batch", "under_way_s": 720.0, "next_in_s": 4800.0, "last_in_s": 4800.0, "jobs": 1},
            "is under way at half price in message batches of claude-opus-4-7, the oldest for 12 min; to live",
        ),
        ({"reason": "message_batch", "last_in_s": 9.0}, "in message batches of claude-opus-4-7, not created yet; to"),
        ({"reason": "moved", "due": 12}, "12 wait for a live call, as the message batch gave no answer: due now"),
        ({"stage": "running"}, "12 run at claude-opus-4-7"),
        ({"stage": "sent"}, "12 are in the queue of claude-opus-4-7 until a worker is free"),
        ({"stage": "queued", "jobs": 1}, "1 is queued for claude-opus-4-7 and not sent yet: the dispatcher tops"),
        ({"stage": "sent", "rung": 7}, "12 are in the queue of rung 7"),
    ],
)
def test_jobs_are_told_by_what_they_wait_for_and_until_when(changes: dict[str, Any], message: str) -> None:
    (line,) = wait_lines([waits(**changes)], MODELS, [])
    assert message in line


def test_queued_jobs_name_the_throttle_that_holds_them() -> None:
    queued, now = wait_lines([waits(stage="queued", jobs=1200)], MODELS, [_FULL])
    assert queued == (
        "  1,200 are queued for claude-opus-4-7 and not sent yet: held by our own limit of 8 calls in flight"
    )
    assert now.startswith("  now: our own limit of calls in flight holds claude-opus-4-7 since 12:03:10 UTC (for 42 s)")


def test_a_throttle_of_another_model_holds_nothing() -> None:
    assert len(list(wait_lines([waits(stage="queued", rung=2)], MODELS, [_FULL]))) == 1


def test_a_program_reads_the_same_in_fields() -> None:
    assert waits_json([waits()], MODELS, [_FULL]) == {
        "waits": [
            {
                "stage": "waiting",
                "model": OPUS,
                "jobs": 12,
                "reason": "limited",
                "about": OPUS,
                "limit": "output",
                "per_minute": 8000.0,
                "due_now": 0,
                "next_in_s": 4.0,
                "last_in_s": 61.0,
                "under_way_s": None,
            }
        ],
        "throttles": [
            {
                "reason": "full",
                "models": [OPUS],
                "kind": None,
                "since": "2026-11-29T12:03:10+00:00",
                "for_s": 42.0,
                "next_in_s": None,
                "limit": 8,
                "in_flight": 8,
            }
        ],
    }
