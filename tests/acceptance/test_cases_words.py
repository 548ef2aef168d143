"""Other words, other stop reasons, other shapes: nothing unknown is a success, and nothing said is lost."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.support.shared_cases import Case, running_case

OPUS, SONNET, HAIKU = "claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"
_SEARCH_USD = Decimal("0.01")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[Case]:
    """Run one worker for all cases of this file; its address ends as that of other makers' clients does."""
    with running_case(tmp_path_factory.mktemp("words"), valkey_url, path="/v1/", PATIENCE_S="10") as case:
        yield case


def test_an_address_with_the_apis_own_path_is_taken_without_it(case: Case) -> None:
    rows = case.ended(case.submitted(case.begin("base_url_v1") / "docs.csv"))
    assert {row.text for row in rows.values()} == {"A summary."}
    assert {call["path"] for call in case.calls()} == {"/v1/messages"}


def test_a_window_that_overflows_in_the_older_words_is_left_for_a_larger_one(case: Case) -> None:
    case.begin("context_limit_400")
    prompt = case.log.with_name("long.jsonl")
    prompt.write_text('{"id": "long", "prompt": "A long text."}\n')
    batch = case.submitted(prompt, "--task", "summarize")
    assert case.ended(batch)["long"].model == SONNET
    assert [one["outcome"] for one in case.attempts(batch)] == ["too_long", "answered"]


def test_a_paused_turn_is_sent_back_and_the_whole_of_it_is_kept_and_paid_for(case: Case) -> None:
    batch = case.submitted(case.begin("pause_turn") / "batch.jsonl")
    row = case.ended(batch)["q1"]
    assert row.text == "I will look that up.The bridge was opened in 1932, after eight years."
    assert (row.stop_reason, row.model, row.fallback_depth) == ("end_turn", OPUS, 0)
    first, last = case.attempts(batch)
    assert [(one["outcome"], one["reason"]) for one in (first, last)] == [
        ("unfinished", "start"),
        ("answered", "continue"),
    ]
    tokens = Decimal(3000 * 5 + 30 * 25) + Decimal(9000 * 5 + 40 * 25)
    assert row.cost_usd == tokens / 1_000_000 + 3 * _SEARCH_USD
    assert "had opus-4-7 go on with its turn" in case.story(batch)


def test_odd_replies_are_costed_and_none_without_a_text_is_a_success(case: Case) -> None:
    rows = case.ended(case.submitted(case.begin("odd_replies") / "batch.jsonl"))
    assert rows["thinkonly"].text is None
    assert str(rows["thinkonly"].error).startswith("empty: there is no text in it: max_tokens was used up after 500")
    assert str(rows["empty"].error).startswith("empty: there is no text in it (end_turn); change the prompt")
    assert str(rows["refusal"].error).startswith("refused: This request was blocked. (category cyber); change the")
    assert rows["refusal"].cost_usd == 0
    assert str(rows["refusalmid"].error).startswith("refused: x (category bio)")
    assert (rows["refusalmid"].cost_usd or 0) > 0
    assert (rows["nullstop"].text, rows["nullstop"].stop_reason) == ("Answer.", None)
    assert {rows[name].text for name in ("redacted", "geo", "geona", "compact", "context", "dated", "oneh")} == {
        "Answer."
    }


def test_of_a_total_and_its_parts_the_larger_is_paid_and_said_to_be_an_estimate(case: Case) -> None:
    batch = case.submitted(case.begin("cache_breakdown_zero") / "batch.jsonl")
    row = case.ended(batch)["q1"]
    # Nothing tells the lifetime of what was written, so it is the hour that the request asks for.
    tokens = 2 * Decimal(5) + 100 * 25 + 5000 * Decimal("0.5") + 10_353 * 10
    assert (row.text, row.cost_usd) == ("Found.", tokens / 1_000_000 + _SEARCH_USD)
    (attempt,) = case.attempts(batch)
    assert (attempt["cost_status"], attempt["cache_write_1h_tokens"]) == ("estimated", 10_353)
    assert "(estimated: figures of its usage contradict each other, and the larger counts)" in case.story(batch)


@pytest.mark.parametrize("ends", ["truncated", "empty"])
def test_thinking_that_used_up_max_tokens_is_given_more_room_where_that_may_climb(case: Case, ends: str) -> None:
    case.begin("odd_replies")
    prompt = case.log.with_name("thinking.jsonl")
    prompt.write_text('{"id": "thinkonly", "prompt": "thinkonly please"}\n')
    batch = case.submitted(prompt, "--climb-on", ends)
    assert "less thinking" in str(case.ended(batch)["thinkonly"].error)
    assert [(one["reason"], one["max_tokens"]) for one in case.attempts(batch)] == [
        ("start", None),
        ("raise", 2000),
    ]


def test_the_senders_words_are_kept_in_every_shape(case: Case) -> None:
    batch = case.submitted(case.begin("error_shapes") / "docs.jsonl")
    errors = {name: str(row.error) for name, row in case.ended(batch).items()}
    for name, outcome, words in (
        ("string", "model_missing", "Invalid model name passed in model=claude-opus-4-7"),
        ("detail", "blocked", "Field required: messages.0.content"),
        ("list", "blocked", "Request contains an invalid argument."),
        ("message", "blocked", "Malformed input request: extraneous key is not permitted"),
        ("openai", "bad_request", "max_tokens: too large"),
        ("wrapped", "too_long", "prompt is too long: 208310 tokens > 200000 maximum"),
        ("text", "blocked", "upstream request rejected: missing header x-team"),
    ):
        assert errors[name].startswith(f"{outcome}: ")
        assert words in errors[name]
    assert case.progress(batch).unknown_costs == 0


def test_a_refusal_says_why_and_other_models_are_asked_where_the_job_wants_that(case: Case) -> None:
    case.begin("refusal_primary")
    prompt = case.log.with_name("declined.jsonl")
    prompt.write_text('{"id": "declined", "prompt": "A plain question."}\n')
    failed = case.ended(case.submitted(prompt))["declined"]
    assert str(failed.error).startswith("refused: This request was blocked. (category reasoning_extraction); change")
    batch = case.submitted(prompt, "--climb-on", "refused")
    assert case.ended(batch)["declined"].model == SONNET
    first = case.attempts(batch)[0]
    assert (first["error_type"], first["error_code"]) == ("refusal", "reasoning_extraction")
    story = case.story(batch)
    assert "declined to answer (200 refusal reasoning_extraction)" in story
    assert 'with the words "This request was blocked."' in story


@pytest.mark.parametrize("form", ["date", "ms", "s"])
def test_advice_to_wait_is_heeded_in_each_form(case: Case, form: str) -> None:
    case.begin("retry_after_forms")
    prompt = case.log.with_name(f"{form}.jsonl")
    prompt.write_text(f'{{"id": "{form}", "prompt": "{form} please"}}\n')
    batch = case.submitted(prompt)
    assert case.ended(batch)[form].model == OPUS
    limited, *again, answered = case.attempts(batch)
    # A date is cut to its second, and the job may be early by that.
    assert again == [] or (form == "date" and len(again) == 1), case.story(batch)
    assert 1500 <= limited["retry_after_ms"] <= 4000
    assert (limited["outcome"], answered["outcome"]) == ("rate_limited", "answered")
