"""A job's story, line by line: every attempt, skip and wait, each with its reason and its cost, in sentences."""

from typing import Any

from tests.support.ledgers.story_rows import (
    HAIKU,
    OPUS,
    SONNET,
    at,
    attempt,
    below_head,
    decision,
    good,
    job,
    lost,
    sentences_of,
)

_CIRCUIT_OPEN: dict[str, Any] = {"kind": "overloaded", "for_s": 40.2, "failures": 3}
_CAP: dict[str, Any] = {"scope": "batch:0192", "cap_usd": "1", "gone_usd": "0.9", "reserved_usd": "0.05"}


def test_a_fallback_is_told_with_its_reason_what_it_cost_and_how_long_it_took() -> None:
    down = decision(1, 1.2, "fallback", "overloaded", to=SONNET)
    assert below_head(job(), attempt(1), good(2), decisions=(down,)) == sentences_of("""
        22:54:14  1. asked opus-4-7: it was overloaded (529 overloaded_error) after 6 ms; $0.00 (free)
        22:54:14  stepped down to sonnet-4-6: opus-4-7 was overloaded
        22:54:15  2. asked sonnet-4-6 instead (fallback depth 1): it answered after 2.1 s; 318 tokens in, 71 out;
                  $0.002019
        22:54:17  succeeded 4.0 s after it was accepted: answered by claude-sonnet-4-6 after 1 model had been given
                  up (fallback depth 1); 2 calls, $0.002019 in all
    """)


def test_a_wait_for_limits_is_told_with_its_figures() -> None:
    limits = {"limit": "input", "left": 900.0, "needs": 1210.0, "per_minute": 30_000.0, "wait_s": 3.2}
    wait = decision(0, 0.2, "wait", "limited", model=SONNET, rung=1, to=SONNET, after_s=3.2, **limits)
    first = good(1, reason="start", fallback_depth=0, waited_ms=640, opened_at=at(3.4), cache_read_tokens=2048)
    assert below_head(job(fallback_depth=0, start_model=SONNET), first, decisions=(wait,)) == sentences_of("""
        22:54:13  waited 3.2 s for sonnet-4-6: this key's input tokens per minute for it were used up (900 of 30,000
                  were left, about 1,210 needed, enough again in 3.2 s)
        22:54:16  1. asked sonnet-4-6 (held 0.6 s for its turn): it answered after 2.1 s; 318 tokens in, 2,048 read
                  from the cache, 71 out; $0.002019
        22:54:17  succeeded 4.0 s after it was accepted: answered by claude-sonnet-4-6, where it was to start
                  (fallback depth 0); 1 call, $0.002019 in all
    """)


def test_an_outage_of_minutes_is_told_in_few_lines_however_often_a_job_came_back() -> None:
    first = decision(1, 1.1, "park", "overloaded", to=OPUS, after_s=2)
    outage = [
        each
        for turn in range(2, 40)
        for each in (
            decision(1, 14 * turn, "skip", "circuit_open", lease_token=turn, to=HAIKU, wait_s=4.1, **_CIRCUIT_OPEN),
            decision(1, 14 * turn, "park", "full", lease_token=turn, number=2, model=HAIKU, rung=2, after_s=4, to=OPUS),
        )
    ]
    back = good(2, reason="resume", requested_model=OPUS, fallback_depth=0, opened_at=at(555), is_probe=True)
    assert below_head(job(finished_at=at(560)), attempt(1), back, decisions=(first, *outage)) == sentences_of("""
        22:54:14  1. asked opus-4-7: it was overloaded (529 overloaded_error) after 6 ms; $0.00 (free)
        22:54:14  parked for 2.0 s, until 22:54:16, then on with opus-4-7: no model was left to ask; opus-4-7 was
                  overloaded
        22:54:41  opus-4-7 was passed over 38 times until 23:03:19: all workers had left it alone for 40 s, after 3
                  failed calls in a row (it was overloaded); a test call was due in 4.1 s (the last time)
        22:54:41  parked 38 times until 23:03:19, for 2 min 32 s in all, then on with opus-4-7: no model was left to
                  ask; as many calls to haiku-4-5 as our own limit allows were in flight (the last time)
        23:03:28  2. asked opus-4-7, back from waiting (a test call, to see whether it was back): it answered
                  (served by sonnet-4-6) after 2.1 s; 318 tokens in, 71 out; $0.002019
        23:03:33  succeeded 9 min 20 s after it was accepted: answered by claude-sonnet-4-6 after 1 model had been
                  given up (fallback depth 1); 2 calls, $0.002019 in all
    """)


def test_an_answer_that_was_cut_is_asked_for_with_more_room_and_then_of_a_better_model() -> None:
    haiku = {"requested_model": HAIKU, "served_model": HAIKU, "fallback_depth": 0, "outcome": "truncated"}
    calls = good(1, reason="start", **haiku), good(2, reason="raise", max_tokens=1200, **haiku), good(3, reason="climb")
    more = decision(1, 1.5, "raise", "truncated", model=HAIKU, rung=2, max_tokens=1200)
    up = decision(2, 2.9, "climb", "truncated", number=2, model=HAIKU, rung=2, to=SONNET)
    assert below_head(job(params={"max_tokens": 300}), *calls, decisions=(more, up)) == sentences_of("""
        22:54:14  1. asked haiku-4-5: its answer was cut at 300 tokens after 2.1 s; 318 tokens in, 71 out; $0.002019
        22:54:14  haiku-4-5 was to be asked once more, with room for 1,200 tokens: its answer was cut at 300 tokens
        22:54:15  2. asked haiku-4-5 once more, for a longer answer (max_tokens 1200): its answer was cut at 1,200
                  tokens after 2.1 s; 318 tokens in, 71 out; $0.002019
        22:54:15  climbed to sonnet-4-6, a better model: haiku-4-5's answer was cut at 1,200 tokens
        22:54:16  3. asked the better sonnet-4-6 (fallback depth 1): it answered after 2.1 s; 318 tokens in, 71 out;
                  $0.002019
        22:54:17  succeeded 4.0 s after it was accepted: answered by claude-sonnet-4-6 after 1 model had been given
                  up (fallback depth 1); 3 calls, $0.006057 in all
    """)


def test_a_worker_that_was_lost_during_a_call_is_told_and_the_call_counts_as_unknown() -> None:
    again = good(2, reason="rebuy", lease_token=2, opened_at=at(12), fallback_depth=0)
    assert below_head(job(finished_at=at(900), rebuys=1, deadline_at=at(9999)), lost(1), again) == sentences_of("""
        22:54:14  1. asked opus-4-7: its worker was lost during the call, so nobody saw how it ended; cost unknown
        22:54:24  its worker was found lost during that call, which may have been billed
                  to be bought again: its batch or HOLD_ABOVE_USD allowed that, or a person did (stepdown release)
        22:54:25  2. asked sonnet-4-6 again, though the call before may have been billed: it answered after 2.1 s;
                  318 tokens in, 71 out; $0.002019
        23:09:13  succeeded 15 min after it was accepted: answered by claude-sonnet-4-6 after 1 model had been given
                  up (fallback depth 1); 2 calls, $0.002019 + 1 unknown in all
    """)


def test_a_worker_that_was_lost_between_two_calls_is_told_where_others_noted_what_they_decided() -> None:
    calls = attempt(1), attempt(2, lease_token=2), good(3, lease_token=2)
    noted = decision(2, 2.1, "fallback", "overloaded", lease_token=2, to=SONNET)
    assert below_head(job(), *calls, decisions=(noted,)) == sentences_of("""
        22:54:14  1. asked opus-4-7: it was overloaded (529 overloaded_error) after 6 ms; $0.00 (free)
                  what was decided then was not noted: its worker was lost, or of an earlier version; another one
                  went on
        22:54:15  2. asked opus-4-7: it was overloaded (529 overloaded_error) after 6 ms; $0.00 (free)
        22:54:15  stepped down to sonnet-4-6: opus-4-7 was overloaded
        22:54:16  3. asked sonnet-4-6 instead (fallback depth 1): it answered after 2.1 s; 318 tokens in, 71 out;
                  $0.002019
        22:54:17  succeeded 4.0 s after it was accepted: answered by claude-sonnet-4-6 after 1 model had been given
                  up (fallback depth 1); 3 calls, $0.002019 in all
    """)


def test_a_job_that_is_held_tells_who_decides_and_how() -> None:
    held = job(state="waiting", outcome="unknown", finished_at=None, error="unknown: its worker was lost")
    assert below_head(held, lost(1)) == sentences_of("""
        22:54:14  1. asked opus-4-7: its worker was lost during the call, so nobody saw how it ended; cost unknown
        22:54:24  its worker was found lost during that call, which may have been billed
                  held until a person decides (unknown): stepdown release --job 0193, or stepdown drop --job 0193; 1
                  call, $0.00 + 1 unknown in all
                  kept with it: unknown: its worker was lost
    """)


def test_a_cap_that_is_used_up_is_told_in_money_and_what_does_not_suit_a_model_in_words() -> None:
    over = job(state="failed", outcome="over_budget", error="over budget: of batch:0192's cap")
    decisions = (
        decision(0, 0.1, "skip", "over_budget", to=SONNET, needs_usd="0.25", **_CAP),
        decision(0, 0.1, "skip", "unfit", number=2, model=SONNET, rung=1, to=HAIKU, because="it takes no top_k"),
        decision(0, 0.1, "stop", "over_today", number=3, model=HAIKU, rung=2, needs_usd="1", **_CAP | {"scope": "day"}),
    )
    assert below_head(over, decisions=decisions) == sentences_of("""
        22:54:13  opus-4-7 was passed over: a call to it might cost $0.25, and of the $1.00 for its batch $0.90 were
                  spent and $0.05 held for calls under way
        22:54:13  sonnet-4-6 was passed over: the request does not suit it (it takes no top_k)
        22:54:13  went no further: a call to haiku-4-5 might cost $1.00, and of the $1.00 for the day $0.90 were
                  spent and $0.05 held for calls under way; the next day, in UTC, has its own
        22:54:17  failed (over_budget) 4.0 s after it was accepted; no call was made
                  kept with it: over budget: of batch:0192's cap
    """)


def test_a_job_that_a_person_queued_again_tells_both_of_its_lives() -> None:
    wrong = attempt(1, outcome="bad_request", http_status=400, error_type="invalid_request_error")
    stop = decision(1, 1, "stop", "bad_request")
    skip = decision(1, 2, "skip", "circuit_open", lease_token=2, to=SONNET, wait_s=1.2, **_CIRCUIT_OPEN)
    assert below_head(job(), wrong, good(2, lease_token=2), decisions=(stop, skip)) == sentences_of("""
        22:54:14  1. asked opus-4-7: the API found the request itself wrong, which no other model cures (400
                  invalid_request_error) after 6 ms; $0.00 (free)
        22:54:14  went no further: the API found the request itself wrong, which no other model cures
                  ended so, and was queued again by a person (stepdown retry)
        22:54:15  opus-4-7 was passed over: all workers had left it alone for 40 s, after 3 failed calls in a row
                  (it was overloaded); a test call was due in 1.2 s
        22:54:15  2. asked sonnet-4-6 instead (fallback depth 1): it answered after 2.1 s; 318 tokens in, 71 out;
                  $0.002019
        22:54:17  succeeded 4.0 s after it was accepted: answered by claude-sonnet-4-6 after 1 model had been given
                  up (fallback depth 1); 2 calls, $0.002019 in all
    """)


def test_a_key_that_is_refused_parks_a_call_until_a_time() -> None:
    row = job(batch_id=None, state="waiting", outcome="key_paused", due_at=at(70), finished_at=None)
    refused = attempt(1, outcome="unauthorized", http_status=401, error_type="authentication_error")
    park = decision(1, 1, "park", "unauthorized", to=OPUS, after_s=60)
    assert below_head(row, refused, decisions=(park,)) == sentences_of("""
        22:54:14  1. asked opus-4-7: the API refused the key, which no other model cures (401 authentication_error)
                  after 6 ms; $0.00 (free)
        22:54:14  parked for 1 min, until 22:55:14, then on with opus-4-7: the API refused the key, which no other
                  model cures
                  waits for the end of the key's pause, until 2026-11-23 22:55:23 (in 1 min 6 s), then sonnet-4-6; 1
                  call, $0.00 in all
    """)


def test_an_older_ledger_without_decisions_tells_what_was_given_up() -> None:
    calls = attempt(1), attempt(2, reason="retry"), good(3)
    assert below_head(job(given_up={"0": "overloaded", "2": "waited"}), *calls) == sentences_of("""
        22:54:14  1. asked opus-4-7: it was overloaded (529 overloaded_error) after 6 ms; $0.00 (free)
        22:54:15  2. asked opus-4-7 once more: it was overloaded (529 overloaded_error) after 6 ms; $0.00 (free)
        22:54:16  3. asked sonnet-4-6 instead (fallback depth 1): it answered after 2.1 s; 318 tokens in, 71 out;
                  $0.002019
                  opus-4-7 was given up: it was overloaded
                  haiku-4-5 was waited for
        22:54:17  succeeded 4.0 s after it was accepted: answered by claude-sonnet-4-6 after 1 model had been given
                  up (fallback depth 1); 3 calls, $0.002019 in all
    """)


def test_a_worker_that_was_stopped_puts_its_job_back_and_a_step_may_go_up() -> None:
    back = decision(0, 0.1, "park", "worker_stopped", to=OPUS, after_s=0)
    up = decision(1, 1.1, "fallback", "rate_limited", model=SONNET, rung=1, to=OPUS, lease_token=2)
    limited = attempt(1, outcome="rate_limited", requested_model=SONNET, retry_after_ms=90_000, lease_token=2)
    assert below_head(job(state="running", finished_at=None), limited, decisions=(back, up)) == sentences_of("""
        22:54:13  put back into the queue: its worker was being stopped
        22:54:14  1. asked sonnet-4-6: the API said that this key's limits for it were used up (529
                  overloaded_error) after 6 ms; to be left alone for 1 min 30 s; $0.00 (free)
        22:54:14  stepped up to opus-4-7: the API said that this key's limits for sonnet-4-6 were used up for
                  another 1 min 30 s
                  running, at sonnet-4-6; 1 call, $0.00 in all
    """)
