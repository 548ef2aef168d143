"""Every fault of a single call, against a real worker: one purchase at most, an honest cost, and an answer."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from producer.prompt.prompt import Prompt
from tests.support.sites.worker_site import ENGINES, OPUS, SONNET, Plant, one_test, running_plant

_PROMPT = "Ten harbours were dredged in spring, and two bridges were closed before dawn."
_DEADLINE_MS = 1000


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("faults"), CALL_TIMEOUT_S=str(_DEADLINE_MS / 1000)) as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


@pytest.mark.parametrize("rule", ["answer = 'hang'", "answer = 'drip'\nevery_s = 0.05"])
def test_a_call_that_never_ends_is_cut_at_the_deadline(plant: Plant, rule: str) -> None:
    plant.simulator.set_script(f"[[rules]]\nmodel = 'opus'\n{rule}")
    batch, answer = plant.answered(_PROMPT)
    timed_out, answered = plant.attempts(batch)
    assert timed_out["outcome"] == "timed_out"
    assert _DEADLINE_MS <= timed_out["latency_ms"] <= 2 * _DEADLINE_MS
    assert (timed_out["cost_nano_usd"], timed_out["cost_status"]) == (None, "unknown")
    assert (answered["requested_model"], answered["outcome"], answer.cost_usd) == (SONNET, "answered", None)
    assert len(plant.purchases(batch)) == 2


def test_a_long_answer_that_outlasts_the_setting_is_one_call_and_is_kept(plant: Plant) -> None:
    plant.simulator.set_script(f"[[rules]]\nanswer = 'slow'\ndelay_s = {1.5 * _DEADLINE_MS / 1000}")
    batch, answer = plant.answered(Prompt(_PROMPT, max_tokens=32_000))
    (attempt,), (purchase,) = plant.attempts(batch), plant.purchases(batch)
    assert (attempt["outcome"], purchase["requested_model"]) == ("answered", OPUS)
    assert attempt["latency_ms"] >= 1.5 * _DEADLINE_MS
    assert (answer.state, answer.fallback_depth) == ("succeeded", 0)


def test_a_job_whose_calls_were_all_cut_names_the_deadline_and_the_setting(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 'hang'")
    batch, answer = plant.answered(Prompt(_PROMPT, max_tokens=3_840))
    assert (answer.state, answer.outcome) == ("failed", "timed_out")
    reason = "no complete reply within 2 s (max_tokens 3840 at 1,920 tokens/s; CALL_TIMEOUT_S is 1)"
    assert answer.error is not None
    assert reason in answer.error
    # The streams of the first model are known to begin early.
    assert [attempt["latency_ms"] // 1_000 for attempt in plant.attempts(batch)] == [1, 2, 2]


_WORDS = "Harbour. " * 24  # 54 tokens


def test_a_stream_that_lives_is_one_call_and_is_kept_however_long(plant: Plant) -> None:
    plant.simulator.set_script(f"tokens_per_s = 9\n[[rules]]\nanswer = 'text'\ntext = '{_WORDS}'")
    batch, answer = plant.answered(Prompt(_PROMPT, max_tokens=3_840))
    (attempt,), (purchase,) = plant.attempts(batch), plant.purchases(batch)
    assert (answer.state, answer.text, attempt["cost_status"]) == ("succeeded", _WORDS, "exact")
    assert attempt["latency_ms"] > 5_000  # the deadline of an unstreamed call is 2 s
    assert attempt["cost_nano_usd"] * 10**9 == purchase["billed_nano_usd"]


@pytest.mark.parametrize(
    ("rule", "outcome", "words"),
    [
        ("answer = 'cut'", "cut", "ClientPayloadError"),
        ("answer = 'stall'", "timed_out", "within 1 s of the event before"),
        ("answer = 'error_event'", "cut", "Overloaded"),
    ],
)
def test_a_stream_that_breaks_is_not_bought_again_and_costs_at_least_what_was_seen(
    plant: Plant, rule: str, outcome: str, words: str
) -> None:
    plant.simulator.set_script(f"tokens_per_s = 60\n[[rules]]\nmodel = 'opus'\n{rule}")
    batch, answer = plant.answered(Prompt(_PROMPT, max_tokens=3_840))
    (broken, answered), (purchase, _) = plant.attempts(batch), plant.purchases(batch)
    assert (broken["outcome"], words in broken["error"], answered["reason"]) == (outcome, True, "fallback")
    assert (broken["cost_nano_usd"], broken["cost_status"], answer.cost_usd) == (None, "at_least", None)
    assert (broken["message_id"], broken["request_id"]) == (purchase["message_id"], purchase["request_id"])
    assert (broken["input_tokens"], broken["served_model"]) == (purchase["usage"]["input_tokens"], OPUS)
    billed = Decimal(purchase["billed_nano_usd"]).scaleb(-9)
    assert 0 < broken["least_nano_usd"] <= billed <= broken["reserved_nano_usd"]
    assert broken["budgets"] is None
    assert batch.progress().unknown_costs == 1


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("malformed", "malformed"),
        ("empty", "malformed"),
        ("html_200", "malformed"),
        ("error_200", "malformed"),
        ("no_usage", "malformed"),
        ("cut", "cut"),
        ("reset_after", "cut"),
        ("reset_before", "cut"),
    ],
)
def test_a_reply_that_cannot_be_read_is_not_bought_again(plant: Plant, word: str, outcome: str) -> None:
    plant.simulator.set_script(f"[[rules]]\nmodel = 'opus'\nanswer = '{word}'")
    batch, answer = plant.answered(_PROMPT)
    broken, answered = plant.attempts(batch)
    assert (broken["outcome"], broken["cost_nano_usd"], broken["cost_status"]) == (outcome, None, "unknown")
    assert (answered["requested_model"], answered["reason"]) == (SONNET, "fallback")
    assert (answer.state, answer.fallback_depth, answer.cost_usd) == ("succeeded", 1, None)
    assert [purchase["requested_model"] for purchase in plant.purchases(batch)] == [OPUS, SONNET]


@pytest.mark.parametrize(
    "rule",
    [
        f"answer = 'other_model'\nserved_model = '{SONNET}'",
        "answer = 'other_tier'\nservice_tier = 'batch'",
        "answer = 'other_tier'\nservice_tier = 'priority'",
        "answer = 'geo_us'",
        "answer = 'usage_x10'",
        "answer = 'ok'\nweb_searches = 3",
        "answer = 'refusal'\noutput = true",
        "answer = 'refusal'\noutput = false",
        "answer = 'context_exceeded'",
    ],
)
def test_what_the_reply_names_is_what_is_paid_for(plant: Plant, rule: str) -> None:
    plant.simulator.set_script(f"[[rules]]\nmodel = 'opus'\n{rule}")
    batch, answer = plant.answered(_PROMPT)
    (purchase,), (attempt,) = plant.purchases(batch), plant.attempts(batch)
    assert attempt["cost_nano_usd"] * 10**9 == purchase["billed_nano_usd"]
    assert (attempt["requested_model"], attempt["served_model"]) == (OPUS, purchase["served_model"])
    assert answer.cost_usd == attempt["cost_nano_usd"]


def test_cached_prompts_are_paid_for_as_written_and_as_read(plant: Plant) -> None:
    block = {"type": "text", "text": "A long note. " * 800, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    five = {"type": "text", "text": "Another note. " * 800, "cache_control": {"type": "ephemeral"}}
    params = {"max_tokens": 50, "messages": [{"role": "user", "content": [block, five]}]}
    for counters in (("cache_write_5m_tokens", "cache_write_1h_tokens"), ("cache_read_tokens",)):
        batch, _ = plant.answered(Prompt(params=params))
        (purchase,), (attempt,) = plant.purchases(batch), plant.attempts(batch)
        assert all(attempt[counter] > 0 for counter in counters)
        assert attempt["cost_nano_usd"] * 10**9 == purchase["billed_nano_usd"]


def test_a_refused_prompt_fails_as_refused_and_is_asked_once(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 'refusal'")
    batch, answer = plant.answered(_PROMPT)
    assert (answer.state, answer.outcome) == ("failed", "refused")
    assert len(plant.purchases(batch)) == 1


def test_a_truncated_answer_is_kept_and_flagged(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 'max_tokens'")
    batch, answer = plant.answered(_PROMPT)
    assert (answer.state, answer.outcome, answer.stop_reason) == ("succeeded", "truncated", "max_tokens")
    assert answer.text
    assert len(plant.purchases(batch)) == 1


@pytest.mark.parametrize("status", ["408", "500", "502", "503", "504"])
def test_a_server_error_is_tried_once_more_and_then_left(plant: Plant, status: str) -> None:
    plant.simulator.set_script(f"[[rules]]\nmodel = 'opus'\nanswer = '{status}'")
    batch, answer = plant.answered(_PROMPT)
    reported = [(row["requested_model"], row["reason"], row["outcome"]) for row in plant.attempts(batch)]
    assert reported == [
        (OPUS, "start", "server_error"),
        (OPUS, "retry", "server_error"),
        (SONNET, "fallback", "answered"),
    ]
    assert (answer.fallback_depth, len(plant.purchases(batch))) == (1, 3)
