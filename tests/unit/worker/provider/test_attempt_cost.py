"""What an attempt cost: exactly what the reply says it was, nothing, or unknown; never a guess."""

from decimal import Decimal
from typing import Any

import pytest

from models.job.values import Closing
from models.money.price_book import PriceBook
from models.outcome import CostStatus, Outcome
from tests.support.plays.walk_scene import HAIKU, NOW, OPUS, SONNET, OnePrice, end_of, error, message, received
from worker.provider.attempt_cost import closing_of, total_usd
from worker.provider.classify import classify
from worker.provider.reply import Begun, Broken, Received

_TOKENS = {"input_tokens": 1000, "output_tokens": 100}


def _receipt(end: Received | Broken, *, unknown: str = "") -> Closing:
    return closing_of("attempt-1", classify(end), OnePrice([unknown]), at=NOW)


def test_an_answer_costs_its_tokens_at_the_price_of_the_model() -> None:
    closing = _receipt(received(message()))
    assert (closing.cost_usd, closing.cost_status) == (Decimal("0.0075"), CostStatus.EXACT)
    assert (closing.attempt_id, closing.price_source, closing.http_status) == ("attempt-1", "by hand", 200)


@pytest.mark.parametrize(
    ("model", "text", "cost"),
    [
        (OPUS, {}, "0.0075"),
        (SONNET, {}, "0.0045"),
        (HAIKU, {}, "0.0015"),
        (OPUS, {"service_tier": "batch"}, "0.00375"),
        (OPUS, {"inference_geo": "us"}, "0.00825"),
        (OPUS, {"server_tool_use": {"web_search_requests": 2}}, "0.0275"),
        (OPUS, {"cache_read_input_tokens": 1000, "cache_creation_input_tokens": 1000}, "0.01425"),
        (OPUS, {"cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 1000}}, "0.0175"),
    ],
)
def test_it_is_priced_by_what_the_reply_names_not_by_what_was_asked(
    model: str, text: dict[str, object], cost: str
) -> None:
    end = received(message(model, usage=_TOKENS | text))
    closing = closing_of("attempt-1", classify(end), PriceBook({}), at=NOW)
    assert (closing.served_model, closing.cost_usd) == (model, Decimal(cost))


def test_a_model_without_a_price_has_an_unknown_cost_and_keeps_its_usage() -> None:
    closing = _receipt(received(message("claude-of-tomorrow")), unknown="claude-of-tomorrow")
    assert (closing.cost_usd, closing.cost_status, closing.price_source) == (None, CostStatus.UNKNOWN, None)
    assert closing.usage is not None
    assert closing.usage.output_tokens == 100


def test_each_pass_of_a_reply_is_priced_at_its_own_model() -> None:
    iterations = [
        {"type": "message", "input_tokens": 1000, "output_tokens": 100},
        {"type": "advisor_message", "model": OPUS, "input_tokens": 1000, "output_tokens": 100},
        {"type": "compaction", "input_tokens": 1000, "output_tokens": 0},
    ]
    end = received(message(HAIKU, usage=_TOKENS | {"iterations": iterations}))
    closing = closing_of("attempt-1", classify(end), PriceBook({}), at=NOW)
    assert (closing.cost_usd, closing.cost_status) == (
        Decimal("0.0015") + Decimal("0.0075") + Decimal("0.001"),
        "exact",
    )
    assert closing.parts is not None
    assert closing.parts.total == closing.cost_usd


def test_a_pass_without_a_price_makes_the_whole_unknown() -> None:
    advised = {"type": "advisor_message", "model": "claude-of-tomorrow", "input_tokens": 1, "output_tokens": 1}
    end = received(message(HAIKU, usage=_TOKENS | {"iterations": [_TOKENS, advised]}))
    closing = closing_of("attempt-1", classify(end), PriceBook({}), at=NOW)
    assert (closing.cost_usd, closing.cost_status, closing.parts) == (None, CostStatus.UNKNOWN, None)


def test_passes_that_cannot_be_read_make_the_cost_an_estimate() -> None:
    closing = _receipt(received(message(usage=_TOKENS | {"iterations": "two"})))
    assert (closing.cost_usd, closing.cost_status) == (Decimal("0.0075"), CostStatus.ESTIMATED)


def test_figures_that_contradict_each_other_make_the_larger_cost_an_estimate() -> None:
    nothing = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    end = received(message(OPUS, usage=_TOKENS | {"cache_creation_input_tokens": 10_000, "cache_creation": nothing}))
    for lifetimes, cost in ((["5m"], "0.07"), (["1h"], "0.1075")):
        closing = closing_of("attempt-1", classify(end, lifetimes=lifetimes), PriceBook({}), at=NOW)
        assert (closing.cost_usd, closing.cost_status) == (Decimal(cost), CostStatus.ESTIMATED)


def test_a_search_that_the_usage_leaves_out_is_paid_for() -> None:
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    failed = found | {"content": {"type": "web_search_tool_result_error", "error_code": "too_many_requests"}}
    end = received(message(OPUS, usage=_TOKENS) | {"content": [found, failed, {"type": "text", "text": "Found."}]})
    closing = closing_of("attempt-1", classify(end), PriceBook({}), at=NOW)
    assert (closing.cost_usd, closing.cost_status) == (Decimal("0.0175"), CostStatus.ESTIMATED)


def test_a_refusal_before_any_output_is_free() -> None:
    closing = _receipt(received(message(stop_reason="refusal", usage={"input_tokens": 1000, "output_tokens": 0})))
    assert (closing.cost_usd, closing.cost_status, closing.price_source) == (Decimal(0), CostStatus.FREE, None)


def test_a_refusal_with_output_is_paid_for() -> None:
    closing = _receipt(received(message(stop_reason="refusal")))
    assert (closing.outcome, closing.cost_usd) == (Outcome.REFUSED, Decimal("0.0075"))


def test_a_truncated_answer_is_paid_for() -> None:
    assert _receipt(received(message(stop_reason="max_tokens"))).cost_usd == Decimal("0.0075")


_FREE = ["unreachable", "400", "401", "402", "403", "404", "413", "429", "500", "504", "529", "spend", "ramp"]


@pytest.mark.parametrize("word", [*_FREE, "too_long"])
def test_an_error_is_free(word: str) -> None:
    closing = _receipt(end_of(word, OPUS))
    assert (closing.cost_usd, closing.cost_status) == (Decimal(0), CostStatus.FREE)


@pytest.mark.parametrize("word", ["cut", "timed_out", "html"])
def test_what_may_have_been_billed_is_unknown_and_not_nothing(word: str) -> None:
    closing = _receipt(end_of(word, OPUS))
    assert (closing.cost_usd, closing.cost_status) == (None, CostStatus.UNKNOWN)


_ODD = {"cache_creation_input_tokens": 10, "cache_creation": {"ephemeral_5m_input_tokens": 99}}


@pytest.mark.parametrize(
    ("how", "usage", "has_output", "unknown", "least"),
    [
        ("cut", {}, True, "", "0.0075"),
        ("timed_out", {}, True, "", "0.0075"),
        ("malformed", {}, True, "", "0.0075"),
        ("cut", {}, False, "", None),
        ("timed_out", {}, True, OPUS, None),
        ("malformed", _ODD, True, "", None),
        ("cut", {"output_tokens": None}, True, "", None),
    ],
)
def test_the_part_of_a_usage_is_kept_only_as_the_least_so_that_no_repricing_takes_it_for_the_whole(
    how: Any, usage: dict[str, object], has_output: bool, unknown: str, least: str | None
) -> None:
    begun = Begun(message_id="msg_1", served_model=OPUS, usage=_TOKENS | usage, has_output=has_output)
    closing = _receipt(Broken(how=how, detail="it broke", latency_ms=7, begun=begun), unknown=unknown)
    assert (closing.cost_usd, closing.cost_status) == (None, "unknown" if least is None else "at_least")
    assert (closing.least_usd, closing.usage is None) == (None if least is None else Decimal(least), least is None)
    assert (closing.message_id, closing.served_model, closing.parts) == ("msg_1", OPUS, None)


def test_an_error_is_written_down_as_it_came() -> None:
    closing = _receipt(error(429, code="ramp_limit_exceeded", retry_after="2.5", request_id="req_9"))
    assert (closing.http_status, closing.error_type, closing.error_code) == (
        429,
        "rate_limit_error",
        "ramp_limit_exceeded",
    )
    assert (closing.retry_after_ms, closing.request_id, closing.latency_ms) == (2500, "req_9", 7)


def test_a_total_with_something_unknown_in_it_is_unknown() -> None:
    paid, free = _receipt(received(message())), _receipt(end_of("529", OPUS))
    assert total_usd([]) == 0
    assert total_usd([free, paid, paid]) == Decimal("0.015")
    assert total_usd([paid, _receipt(end_of("cut", OPUS))]) is None
