"""A job's story: every attempt and wait, each with its reason and its cost."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from producer.show import story, story_json

OPUS, SONNET, HAIKU = MODELS = ("claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5-20251001")
START = datetime(2026, 11, 23, 22, 54, 13, tzinfo=UTC)
PROMPT = "the customer's own words"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def job(**changes: Any) -> dict[str, Any]:
    return {
        "id": "0193",
        "batch_id": "0192",
        "prompt_id": "doc-1",
        "created_at": START,
        "start_rung": 0,
        "state": "succeeded",
        "outcome": "answered",
        "error": None,
        "rung": 1,
        "given_up": {},
        "due_at": None,
        "finished_at": at(4),
        "model_used": SONNET,
        "fallback_depth": 1,
        "params": {"messages": [{"role": "user", "content": PROMPT}]},
        "columns": {"title": PROMPT},
        **changes,
    }


def attempt(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "attempt_no": number,
        "reason": "start",
        "requested_model": OPUS,
        "served_model": None,
        "fallback_depth": 0,
        "outcome": "overloaded",
        "http_status": 529,
        "error_type": "overloaded_error",
        "error_code": None,
        "opened_at": at(number),
        "latency_ms": 6,
        "input_tokens": None,
        "cache_read_tokens": None,
        "cache_write_5m_tokens": None,
        "cache_write_1h_tokens": None,
        "output_tokens": None,
        "cost_nano_usd": Decimal(0),
        "cost_status": "free",
        **changes,
    }


def good(number: int, **changes: Any) -> dict[str, Any]:
    fine = {
        "reason": "fallback",
        "requested_model": SONNET,
        "served_model": SONNET,
        "fallback_depth": 1,
        "outcome": "answered",
        "http_status": 200,
        "error_type": None,
        "latency_ms": 2145,
        "input_tokens": 318,
        "cache_read_tokens": 0,
        "output_tokens": 71,
        "cost_nano_usd": Decimal("0.002019000"),
        "cost_status": "exact",
    }
    return attempt(number, **{**fine, **changes})


def told(row: dict[str, Any], *attempts: dict[str, Any]) -> list[str]:
    return list(story(row, attempts, MODELS))


def test_it_tells_every_attempt_with_its_reason_what_was_given_up_and_the_end() -> None:
    attempts = [attempt(1), attempt(2, reason="retry"), good(3)]
    assert told(job(given_up={"0": "overloaded"}), *attempts) == [
        "job 0193  prompt doc-1  batch 0192",
        "  22:54:13  accepted, to start at opus-4-7",
        "  22:54:14  1. start on opus-4-7 d0: overloaded 529 overloaded_error in 6 ms  $0.00 (free)",
        "  22:54:15  2. retry on opus-4-7 d0: overloaded 529 overloaded_error in 6 ms  $0.00 (free)",
        "  22:54:16  3. fallback on sonnet-4-6 d1: answered 200 in 2.1 s  318 in, 71 out  $0.002019 (exact)",
        "            opus-4-7 given up: overloaded",
        "  22:54:17  succeeded: claude-sonnet-4-6 at depth 1",
    ]


def test_a_job_that_waits_tells_until_when_and_for_whom() -> None:
    waiting = job(state="waiting", outcome="overloaded", due_at=at(30), rung=2, error="overloaded: later")
    assert told(waiting)[-2:] == [
        "  waits until 22:54:43 (overloaded), then haiku-4-5",
        "            overloaded: later",
    ]


def test_a_job_that_is_held_tells_who_decides_and_how() -> None:
    held = job(state="waiting", outcome="unknown", due_at=None, error="unknown: its worker was lost")
    assert told(held)[-2:] == [
        "  held until a person decides (unknown): stepdown release or drop, with --job 0193",
        "            unknown: its worker was lost",
    ]


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_job_on_its_way_tells_where_it_is(state: str) -> None:
    assert told(job(state=state))[-1] == f"  {state}, at sonnet-4-6"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_ended_without_an_answer_tells_why(state: str) -> None:
    ended = job(state=state, outcome="bad_request", error="bad_request: \x1b[2J")
    assert told(ended)[-2:] == [f"  22:54:17  {state} (bad_request)", r"            bad_request: \x1b[2J"]


def test_an_open_attempt_has_no_latency_and_an_unknown_cost() -> None:
    running = attempt(1, outcome=None, http_status=None, error_type=None, latency_ms=None)
    running |= {"cost_nano_usd": None, "cost_status": "unknown"}
    assert told(job(), running)[2] == "  22:54:14  1. start on opus-4-7 d0: open in -  unknown (unknown)"


def test_cached_tokens_another_model_and_an_error_code_are_told() -> None:
    cached = {"cache_read_tokens": 2, "cache_write_5m_tokens": 30, "cache_write_1h_tokens": 400}
    other = good(1, served_model=HAIKU, **cached)
    assert "answered by haiku-4-5 200 in 2.1 s  318 + 432 cached in, 71 out" in told(job(), other)[2]
    limited = attempt(1, error_type="rate_limit_error", error_code="ramp")
    assert "529 rate_limit_error ramp in 6 ms" in told(job(), limited)[2]


def test_the_words_of_the_api_do_not_steer_the_terminal() -> None:
    hostile = attempt(1, served_model="\x1b[2J", error_type="\x1b]0;x\x07", error_code="\r")
    assert r"overloaded by \x1b[2J 529 \x1b]0;x\x07 \r in 6 ms" in told(job(), hostile)[2]


def test_a_job_of_a_longer_chain_is_told_by_the_number_of_its_rung() -> None:
    told_of = list(story(job(state="queued", rung=2, given_up={"2": "overloaded"}), [], MODELS[:1]))
    assert told_of[-2:] == ["            rung 2 given up: overloaded", "  queued, at rung 2"]


def test_a_call_without_the_queue_has_no_batch() -> None:
    assert told(job(batch_id=None, prompt_id="\x07"))[0] == r"job 0193  prompt \x07  batch -"


def test_as_json_it_has_its_money_as_text_its_times_in_utc_and_no_word_of_the_prompt() -> None:
    written = story_json(job(), [good(1)])
    assert PROMPT not in written
    read = json.loads(written)
    assert (read["created_at"], read["finished_at"]) == ("2026-11-23T22:54:13+00:00", "2026-11-23T22:54:17+00:00")
    assert read["attempts"][0]["cost_nano_usd"] == "0.002019000"
    assert read["attempts"][0]["reason"] == "fallback"


def test_neither_way_of_telling_it_shows_the_prompt() -> None:
    assert PROMPT not in "\n".join(told(job(), good(1)))
