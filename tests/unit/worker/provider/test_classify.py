"""Every end a call can have, as the API words it, and the one word it becomes."""

from typing import Any

import pytest

from tests.support.plays.walk_scene import OPUS, error, message, received
from worker.fallback.result import message_of
from worker.provider.classify import classify
from worker.provider.reply import Broken, Failure, Received, Reply


def _outcome(end: Received | Broken) -> str:
    return str(classify(end).outcome)


@pytest.mark.parametrize(
    ("stop_reason", "outcome"),
    [
        ("end_turn", "answered"),
        ("stop_sequence", "answered"),
        ("tool_use", "answered"),
        ("pause_turn", "unfinished"),
        ("a_word_of_next_year", "unclear"),
        ("max_tokens", "truncated"),
        ("model_context_window_exceeded", "truncated"),
        ("refusal", "refused"),
    ],
)
def test_a_message_is_told_by_its_stop_reason(stop_reason: str, outcome: str) -> None:
    reply = classify(received(message(stop_reason=stop_reason), request_id="req_9"))
    assert isinstance(reply, Reply)
    assert (reply.outcome, reply.stop_reason, reply.served_model) == (outcome, stop_reason, OPUS)
    assert (reply.request_id, reply.message_id, reply.latency_ms) == ("req_9", "msg_1", 7)
    assert reply.usage.output_tokens == 100


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><title>Just a moment...</title></html>",
        b'{"id":"msg_1","type":"message","con',
        b"[]",
        b"null",
        b"7",
        b'"ok"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"9" * 5_000,
    ],
)
def test_a_200_that_is_no_message_is_malformed(body: bytes) -> None:
    failure = classify(Received(status=200, headers={"content-type": "text/html"}, body=body, latency_ms=7))
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.http_status) == ("malformed", 200)
    assert failure.message == f"status 200 with {len(body)} bytes of text/html that are not a Message with usage"


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "error"},
        {"usage": None},
        {"usage": {}},
        {"usage": {"input_tokens": 1}},
        {"usage": {"input_tokens": True, "output_tokens": 1}},
        {"model": None},
        {"model": ""},
        {"content": None},
        {"content": "text"},
        {"content": ["text"]},
    ],
)
def test_a_message_with_something_missing_is_malformed(changes: dict[str, Any]) -> None:
    assert _outcome(received(message(**changes))) == "malformed"


def test_an_error_with_status_200_is_malformed_and_keeps_its_words() -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    failure = classify(received(body))
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.error_type) == ("malformed", "overloaded_error")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, "bad_request"),
        (401, "unauthorized"),
        (402, "unauthorized"),
        (403, "unauthorized"),
        (404, "model_missing"),
        (405, "rejected"),
        (408, "server_error"),
        (409, "server_error"),
        (412, "rejected"),
        (413, "too_large"),
        (422, "rejected"),
        (429, "rate_limited"),
        (431, "rejected"),
        (421, "server_error"),
        (425, "server_error"),
        (499, "server_error"),
        (500, "server_error"),
        (501, "server_error"),
        (502, "server_error"),
        (503, "server_error"),
        (504, "server_error"),
        (520, "server_error"),
        (529, "overloaded"),
        (204, "malformed"),
    ],
)
def test_an_error_is_told_by_its_status(status: int, outcome: str) -> None:
    failure = classify(error(status, "the API's own sentence", retry_after="3", request_id="req_9"))
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.http_status, failure.message) == (outcome, status, "the API's own sentence")
    assert (failure.retry_after_s, failure.request_id) == (3.0, "req_9")


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (429, "enforced_spend_limit_reached", "spend_limit"),
        (429, "contract_spend_limit_reached", "spend_limit"),
        (402, "linked_organization_spend_limit_reached", "spend_limit"),
        (402, "linked_organization_billing_unavailable", "unauthorized"),
        (429, "ramp_limit_exceeded", "ramp_limited"),
        (429, "a_code_of_next_year", "rate_limited"),
        (400, "organization_on_hold", "unauthorized"),
        (400, "cmek_key_disabled", "unauthorized"),
        (400, "cmek_key_network_blocked", "unauthorized"),
        (503, "cmek_key_unreachable", "server_error"),
        (403, "sandbox_egress_restricted", "unauthorized"),
        (413, "request_body_too_large_after_decoding", "too_large"),
        (400, "request_body_encoding_invalid", "bad_request"),
    ],
)
def test_a_code_tells_more_than_its_status(status: int, code: str, outcome: str) -> None:
    failure = classify(error(status, code=code))
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.error_code) == (outcome, code)


_REGAIN = "You will regain access on 2027-01-01 at 00:00 UTC."


@pytest.mark.parametrize(
    ("status", "text", "outcome"),
    [
        (400, "prompt is too long: 1000001 tokens > 1000000 maximum", "too_long"),
        (400, "Prompt is too long", "too_long"),
        (413, "prompt is too long", "too_long"),
        (400, f"You have reached your specified API usage limits. {_REGAIN}", "spend_limit"),
        (400, f"You have reached your specified workspace API usage limits. {_REGAIN}", "spend_limit"),
        (400, "Your workspace has reached its spend limit.", "spend_limit"),
        (400, "Your credit balance is too low to access the Anthropic API.", "spend_limit"),
        (429, "Your organization has reached its monthly spend limit", "spend_limit"),
        (400, "messages.0.content: Input should be a valid list", "bad_request"),
        (400, "max_tokens: 200000 > 64000, which is the maximum allowed number of output tokens", "bad_request"),
        (400, "Your workspace Blue has reached the spend limit of this month.", "spend_limit"),
        (429, "Your organization has reached the monthly API usage threshold of its tier.", "spend_limit"),
        (429, "Your organization has reached its rate limit of 50 requests per minute", "rate_limited"),
        (400, "spend limit: Extra inputs are not permitted", "bad_request"),
        (400, "Your credit balance is too low: Extra inputs are not permitted", "bad_request"),
        (400, "Your workspace has reached its spend limit: Extra inputs are not permitted", "bad_request"),
        (400, "You have reached your specified API usage limits: Extra inputs are not permitted", "bad_request"),
        (400, "prompt is too long: Extra inputs are not permitted", "bad_request"),
        (400, "metadata.prompt is too long: at most 256 characters", "bad_request"),
        (500, "spend limit service is down", "server_error"),
    ],
)
def test_what_has_no_code_is_told_by_its_words(status: int, text: str, outcome: str) -> None:
    assert _outcome(error(status, text)) == outcome


@pytest.mark.parametrize("how", ["unreachable", "cut", "timed_out"])
def test_a_broken_call_is_told_by_how_it_broke(how: Any) -> None:
    failure = classify(Broken(how=how, detail="it broke", latency_ms=9))
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.message, failure.latency_ms) == (how, "it broke", 9)
    assert failure.http_status is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("2.5", 2.5),
        ("3600", 3600.0),
        ("9000000", 604_800.0),
        ("1e308", 604_800.0),
        ("", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Fri, 27 Nov 2026 09:00:00 GMT", 0.0),
    ],
)
def test_advice_is_a_number_of_seconds_up_to_a_week_or_none(header: str, seconds: float | None) -> None:
    failure = classify(error(429, retry_after=header))
    assert isinstance(failure, Failure)
    assert failure.retry_after_s == seconds


def test_an_error_without_words_says_so() -> None:
    failure = classify(Received(status=502, headers={}, body=b"<html>Bad gateway</html>", latency_ms=7))
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.message) == ("server_error", "status 502 with a page without a message")


@pytest.mark.parametrize("stop_reason", [None, ""])
def test_a_message_without_a_stop_reason_is_unclear_and_its_cost_is_known(stop_reason: object) -> None:
    reply = classify(received(message(stop_reason=stop_reason)))  # type: ignore[arg-type]
    assert isinstance(reply, Reply)
    assert (reply.outcome, reply.stop_reason, reply.usage.output_tokens) == ("unclear", "", 100)


def test_a_refusal_keeps_its_category_and_explanation() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "This request\nwas blocked."}
    reply = classify(received(message(stop_reason="refusal", stop_details=details)))
    assert isinstance(reply, Reply)
    assert (reply.category, reply.explanation) == ("cyber", "This request was blocked.")
    assert message_of(reply) == "refused: This request was blocked. (category cyber)"
