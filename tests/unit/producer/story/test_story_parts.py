"""What a job's story says besides: of terms and starts, of where a job is, of odd rows; and the same as JSON."""

import json
from decimal import Decimal
from typing import Any

import pytest

from producer.story.reason_sentence import because
from producer.story.story import story, story_json
from tests.support.ledgers.story_rows import (
    HAIKU,
    MODELS,
    PROMPT,
    SONNET,
    at,
    attempt,
    below_head,
    decision,
    good,
    job,
    lines,
    one_line,
    reported,
    sentences_of,
)

_CIRCUIT_OPEN: dict[str, Any] = {"kind": "overloaded", "for_s": 40.2, "failures": 3}


def test_a_story_begins_with_where_its_job_came_from_and_the_terms_it_was_accepted_under() -> None:
    terms = {"is_urgent": True, "floor_rung": 1, "ceiling_rung": 1, "patience_ms": 30_000, "deadline_at": at(7200)}
    checks = {"climb_on": "truncated,empty", "expects": {"min_chars": 40, "pattern": PROMPT}}
    row = job(task="summarize", start_model=SONNET, start_rung=1, **terms, **checks)
    assert lines(row, name="news", weight=3)[:-2] == sentences_of("""
        job 0193  prompt doc-1  batch news (0192)
          2026-11-23 (UTC)
          22:54:13  accepted as one of 200 jobs of its batch, task summarize; to start at sonnet-4-6, where its task
                    starts; urgent, so ahead of all that is not; its batch has 3 times the share of others; nothing
                    below sonnet-4-6 will do; nothing above sonnet-4-6 is to be asked; waits up to 30 s for a model's
                    limits; a better model is asked after an answer that is truncated, empty; its answer is checked
                    (min_chars, pattern); to end within 2 h
    """)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("asked", "to start at haiku-4-5, as it was asked to"),
        ("learned", "to start at haiku-4-5, which had been the cheapest that will do for jobs like it"),
        ("explored", "to start at haiku-4-5, to learn whether that will do, as a few jobs are"),
        ("moonlight", "to start at haiku-4-5 (moonlight)"),
    ],
)
def test_a_start_is_told_with_its_reason(reason: str, message: str) -> None:
    assert message in one_line(lines(job(start_model=HAIKU, start_rung=2, start_reason=reason)))


def test_a_call_of_a_sub_agent_names_who_called_it_and_its_tree() -> None:
    message = one_line(lines(job(parent="0192", tree="run-7", call_depth=3, is_urgent=True)))
    assert "called by 0192, at depth 3 of the tree run-7; urgent" in message


def test_what_followed_an_answer_is_a_persons_doing_or_where_it_was_cut_perhaps_a_lost_workers() -> None:
    again = "ended so, and was queued again by a person (stepdown retry)"
    assert f"{again} 22:54:15" in one_line(lines(job(), [good(1), good(2, lease_token=2)]))
    noted = decision(1, 2, "skip", "circuit_open", lease_token=2, to=SONNET)
    cut = one_line(lines(job(), [good(1, outcome="truncated"), good(2, lease_token=2)], [noted]))
    assert f"{again}; or its worker was lost" in cut
    assert "was not noted" not in one_line(lines(job(), [attempt(1), good(2, lease_token=2)]))


def test_a_job_that_runs_tells_where_it_is() -> None:
    assert lines(job(state="running", finished_at=None))[-1] == "            running, at sonnet-4-6; no call was made"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_ended_without_an_answer_tells_why(state: str) -> None:
    ended = job(state=state, outcome="bad_request", error="bad_request: \x1b[2J")
    assert lines(ended)[-2:] == [
        f"  22:54:17  {state} (bad_request) 4.0 s after it was accepted; no call was made",
        r"            kept with it: bad_request: \x1b[2J",
    ]


def test_an_open_attempt_has_no_end_and_an_unknown_cost() -> None:
    running = attempt(1, outcome=None, http_status=None, error_type=None, latency_ms=None, closed_at=None)
    running |= {"cost_nano_usd": None, "cost_status": "unknown"}
    assert below_head(job(), running)[0] == "22:54:14  1. asked opus-4-7: no end was seen yet; cost not known yet"


def test_a_stream_that_broke_tells_its_tokens_and_the_bounds_of_its_cost() -> None:
    shown = {"input_tokens": 318, "output_tokens": 1, "cost_nano_usd": None, "cost_status": "at_least"}
    bounds = {"least_nano_usd": Decimal("0.00125"), "reserved_nano_usd": Decimal("0.5")}
    sentence = one_line(below_head(job(), attempt(1, outcome="cut", error_type=None, **shown, **bounds)))
    assert "318 tokens in, 1 out; cost unknown, at least $0.00125, at most $0.50" in sentence


def test_cached_tokens_an_error_code_a_note_and_how_sure_a_cost_is_are_told() -> None:
    cached = {"cache_read_tokens": 2, "cache_write_5m_tokens": 30, "cache_write_1h_tokens": 400}
    sure = {"cost_status": "corrected", "note": "temperature dropped"}
    job_record = one_line(below_head(job(), good(1, served_model=HAIKU, **cached, **sure)))
    assert "(fallback depth 1; temperature dropped): it answered (served by haiku-4-5)" in job_record
    assert (
        "318 tokens in, 2 read from the cache, 430 written to the cache, 71 out; $0.002019 (corrected later)"
        in job_record
    )
    limited = attempt(1, error_type="rate_limit_error", error_code="ramp")
    assert "(529 rate_limit_error ramp) after 6 ms" in one_line(below_head(job(), limited))


def test_the_words_of_the_api_and_of_people_do_not_steer_the_terminal() -> None:
    hostile = attempt(1, served_model="\x1b[2J", error_type="\x1b]0;x\x07", error_code="\r")
    assert r"(served by \x1b[2J) (529 \x1b]0;x\x07 \r)" in one_line(below_head(job(), hostile))
    assert lines(job(prompt_id="\x07"), name="\x1b[2J")[0] == r"job 0193  prompt \x07  batch \x1b[2J (0192)"


def test_a_job_of_a_longer_chain_is_told_by_the_number_of_its_rung() -> None:
    row = job(state="queued", rung=2, given_up={"2": "overloaded"}, start_model=None, start_rung=1)
    job_record = list(story(reported(row), MODELS[:1]))
    assert "to start at rung 1" in job_record[2]
    assert job_record[-2:] == [
        "            rung 2 was given up: it was overloaded",
        "            queued, at rung 2: not sent yet, the dispatcher sends it in its turn; no call was made",
    ]


def test_a_time_that_cannot_be_is_left_out_and_a_new_day_is_named() -> None:
    skewed = decision(1, 7200, "fallback", "overloaded", to=SONNET)
    job_record = lines(job(finished_at=at(4000)), [attempt(1), good(2)], [skewed])
    assert "            stepped down to sonnet-4-6: opus-4-7 was overloaded" in job_record
    assert job_record[-3] == "  2026-11-24 (UTC)"


def test_as_json_it_has_its_money_as_text_its_times_in_utc_and_no_word_of_the_prompt() -> None:
    written = story_json(reported(job(), [good(1)], [decision(0, 0.2, "skip", "circuit_open", **_CIRCUIT_OPEN)]))
    assert PROMPT not in written
    read = json.loads(written)
    assert (read["created_at"], read["finished_at"]) == ("2026-11-23T22:54:13+00:00", "2026-11-23T22:54:17+00:00")
    assert Decimal(read["attempts"][0]["cost_nano_usd"]) == Decimal("0.002019")
    assert read["attempts"][0]["reason"] == "fallback"
    assert read["decisions"][0]["details"] == _CIRCUIT_OPEN


def test_neither_way_of_telling_it_shows_the_prompt() -> None:
    assert PROMPT not in "\n".join(lines(job(expects={"pattern": PROMPT}), [good(1)]))


def test_a_call_that_was_cut_names_its_deadline_where_it_is_known() -> None:
    assert because("timed_out", {}, "opus-4-7") == "opus-4-7 did not answer in time"
    assert (
        because("timed_out", {"deadline": "120 s (CALL_TIMEOUT_S)"})
        == "it did not answer within 120 s (CALL_TIMEOUT_S)"
    )
