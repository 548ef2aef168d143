"""An open job's story ends with what the job waits for, a true time, and the throttle that holds the job back."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.queue.throttles import Throttle
from producer.story.story import story, story_json
from tests.support.ledgers.story_rows import HAIKU, MODELS, OPUS, SONNET, at, decision, job, lines, one_line, reported

_FIGURES: dict[str, Any] = {"limit": "output", "per_minute": 8000.0, "after_s": 61.0}
_LIMITED = Throttle(
    reason="limited",
    models=(SONNET,),
    since=at(-38),
    read_at=at(4),
    until=at(8),
    kind="output",
    limit=8000,
)


def _waiting(**changes: Any) -> dict[str, Any]:
    return job(**{"state": "waiting", "outcome": "limited", "due_at": at(65), "finished_at": None, **changes})


def _standing(row: dict[str, Any], *decisions: dict[str, Any], throttles: tuple[Throttle, ...] = ()) -> str:
    job_record = one_line(lines(row, decisions=decisions, throttles=throttles))
    return job_record[job_record.index("waits for") :] if "waits for" in job_record else job_record


def test_a_waiting_job_tells_the_limit_it_waits_for_and_until_when() -> None:
    wait = decision(0, 1, "wait", "limited", model=SONNET, rung=1, to=SONNET, **_FIGURES)
    assert _standing(_waiting(), wait) == (
        "waits for sonnet-4-6's output tokens (8,000 a minute), until 2026-11-23 22:55:18 (in 1 min 1 s), "
        "then sonnet-4-6; no call was made"
    )


def test_the_cause_names_the_model_it_was_decided_about() -> None:
    park = decision(0, 1, "park", "full", model=HAIKU, rung=2, to=SONNET)
    assert _standing(_waiting(outcome="full"), park).startswith(
        "waits for a free call to haiku-4-5 (our own limit of calls in flight), until "
    )


def test_a_job_at_half_price_tells_when_it_goes_live() -> None:
    assert one_line(lines(_waiting(outcome="half_price"))).endswith(
        "waits for a place in a message batch, at half price, to live calls at 2026-11-23 22:55:18 (in 1 min 1 s) "
        "at the latest; no call was made"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {},
            "in the message batch msgbatch_1, at half price, under way for 4.0 s, to live calls at 2026-11-23 22:55:13",
        ),
        ({"sent_at": None}, "in a message batch, at half price, that is not created yet, to live calls at"),
        ({"provider_id": None}, "in the message batch whose id is not known yet, at half price, under way for 4.0 s"),
        ({"switch_at": at(3)}, "to live calls at 2026-11-23 22:54:16 (now) at the latest"),
    ],
)
def test_a_job_in_a_message_batch_tells_its_age_and_its_switch_time(changes: dict[str, Any], message: str) -> None:
    batch = {"id": "mb", "provider_id": "msgbatch_1", "size": 2, "sent_at": at(0), "switch_at": at(60), **changes}
    record = replace(reported(_waiting(outcome="message_batch")), message_batches=[batch])
    assert message in one_line([*story(record, MODELS)])


@pytest.mark.parametrize("late_s", [0, 1, 400])
def test_a_due_time_that_is_past_is_due_now(late_s: float) -> None:
    message = _standing(_waiting(outcome="circuit_open", due_at=at(4) - timedelta(seconds=late_s)))
    assert message == (
        "waits for a probe that finds sonnet-4-6 well: due now, not sent yet, the dispatcher sends it in its turn, "
        "then sonnet-4-6; no call was made"
    )


def test_a_queued_job_under_a_throttle_says_so() -> None:
    row = job(state="queued", outcome=None, finished_at=None)
    other = Throttle(reason="full", models=(OPUS,), since=at(0), read_at=at(4), limit=8, in_flight=8)
    message = one_line(lines(row, throttles=(_LIMITED, other)))
    assert message.endswith(
        "queued, at sonnet-4-6: not sent yet, held by used-up output tokens (8,000 a minute); no call was made now: "
        "this key's output tokens for claude-sonnet-4-6 (8,000 a minute) are used up since 22:53:35 UTC (for 42 s): "
        "jobs wait or step down; a usual call fits in 4.0 s"
    )


def test_a_queued_job_that_was_sent_waits_for_a_worker() -> None:
    row = job(state="queued", outcome=None, finished_at=None, sent_at=at(3))
    assert "queued, at sonnet-4-6: its message is in the queue, and the next free worker takes it; no call" in one_line(
        lines(row)
    )


def test_a_wait_that_the_dispatcher_ended_early_is_told_as_long_as_it_was() -> None:
    first = decision(0, 1, "wait", "limited", model=SONNET, rung=1, to=SONNET, **_FIGURES)
    second = decision(0, 3, "wait", "limited", model=SONNET, rung=1, to=SONNET, lease_token=2, **_FIGURES)
    last = decision(
        0, 3.5, "wait", "limited", model=SONNET, rung=1, to=SONNET, lease_token=3, **{**_FIGURES, "after_s": 2}
    )
    message = one_line(lines(_waiting(), decisions=[first, second, last]))
    assert "waited 4.5 s in all for sonnet-4-6, 3 times" in message


@pytest.mark.parametrize(("due_at", "due_in_s"), [(at(65), 61.0), (at(1), 0.0), (None, None)])
def test_as_json_it_tells_in_how_many_seconds_it_is_due(due_at: Any, due_in_s: float | None) -> None:
    assert json.loads(story_json(reported(_waiting(due_at=due_at))))["due_in_s"] == due_in_s
