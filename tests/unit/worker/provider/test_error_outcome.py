"""The blame for an error, over many senders, forms and phrasings."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.plays.walk_scene import error
from worker.provider.classify import classify
from worker.provider.reply import Failure, Received

_PAGES = (
    "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head></html>",
    "<html><body><h1>Web Page Blocked!</h1><p>Attack ID: 20000051</p></body></html>",
    "<html><head><title>Request Rejected</title></head><body>Your support ID is: 1234</body></html>",
    "",
    "Forbidden",
    '{"message":"Forbidden"}',
    '{"error":"Access denied by policy"}',
    '{"type":"error","message":"authentication_error"}',
    '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>',
)


def _end(status: int, body: object, **headers: str) -> Failure:
    content = body if isinstance(body, str) else json.dumps(body)
    end = classify(Received(status=status, headers=headers, body=content.encode(), latency_ms=7))
    assert isinstance(end, Failure)
    return end


@pytest.mark.parametrize(
    ("status", "message", "direct", "in_between"),
    [
        (500, "'messages' is required", "rejected", "server_error"),
        (500, "image input is not supported", "rejected", "server_error"),
        (500, "CUDA out of memory", "server_error", "server_error"),
        (503, "this model is not supported while loading", "server_error", "server_error"),
        (401, "Invalid API Key", "unauthorized", "blocked"),
        (400, "request (6031 tokens) exceeds the available context size", "too_long", "too_long"),
    ],
)
def test_a_compatible_server_speaks_for_itself(status: int, message: str, direct: str, in_between: str) -> None:
    body = json.dumps({"error": {"code": status, "message": message, "type": "server_error"}}).encode()
    received = Received(status=status, headers={}, body=body, latency_ms=7)
    assert classify(received).outcome == in_between
    assert classify(replace(received, is_direct=True)).outcome == direct


def _own(message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


@pytest.mark.parametrize("page", _PAGES)
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 406, 407, 418, 422, 451])
def test_a_4xx_of_something_in_between_blames_neither_key_nor_model(status: int, page: str) -> None:
    assert _end(status, page).outcome == "blocked"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, "server_error") for status in (408, 409, 421, 425, 499)),
        *((status, "server_error") for status in (500, 502, 503, 520, 521, 522, 523, 525, 530)),
        *((status, "timed_out") for status in (504, 524, 598)),
        *((status, "redirected") for status in (301, 302, 303, 307, 308)),
        (413, "too_large"),
        (429, "rate_limited"),
    ],
)
@pytest.mark.parametrize("page", _PAGES[:5])
def test_a_gateways_page_is_judged_by_its_status(status: int, outcome: str, page: str) -> None:
    assert _end(status, page).outcome == outcome


def test_a_redirect_names_where_it_leads_without_what_may_be_secret() -> None:
    end = _end(302, "", location="https://me:word@login.example:8443/sso?state=s3cret#x")
    assert end.message == "status 302 sends every call on to https://login.example:8443/sso"
    assert _end(302, "", location="/v2/messages").message == "status 302 sends every call on to /v2/messages"
    assert _end(302, "").message.endswith("an address that it does not name")


@pytest.mark.parametrize(
    "message",
    [
        "This organization has been disabled.",
        "Your organization has been put on hold. Please contact support.",
        "Your account has been suspended: contact support",
        "We have disabled your organization after a review.",
        "The workspace of this API key was archived.",
        "Request denied because the organization is suspended",
        "Your access to the API has been blocked",
        "This request was made by a deactivated account.",
        "Organization on hold",
        "Your subscription has expired.",
        "API access for this workspace has been turned off by its administrator",
    ],
)
def test_an_account_that_is_off_is_about_the_key(message: str) -> None:
    assert _end(400, _own(message)).outcome == "unauthorized"
    quoted = f"litellm.BadRequestError: AnthropicException - {json.dumps(_own(message))}"
    assert _end(400, {"error": {"message": quoted, "type": None, "code": "400"}}).outcome == "unauthorized"
    assert _end(400, {"error": {"message": message, "type": "invalid_request_error"}}).outcome == "blocked"


@pytest.mark.parametrize(
    "message",
    [
        "Web search is not enabled for this organization.",
        "Web search has been disabled for your organization.",
        "Your organization has disabled web search.",
        "messages.0.content: This organization has been disabled.",
        "This organization has been disabled: Extra inputs are not permitted",
        "Tool 'your account is suspended' not found in provided tools",
        "tool_choice: Tool `organization disabled` is unknown",
        "messages: at least one message is required",
    ],
)
def test_a_request_about_a_feature_or_a_name_is_not_about_the_key(message: str) -> None:
    assert _end(400, _own(message)).outcome == "bad_request"


@pytest.mark.parametrize(
    "message",
    [
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to purchase credits.",
        "You have exceeded your monthly spending limit.",
        "This workspace's monthly budget limit was exceeded",
        "You are out of credits.",
        "Insufficient funds on this account",
        "Spend limit reached for this organization",
        "Your prepaid credits are exhausted.",
    ],
)
@pytest.mark.parametrize("status", [400, 403, 429])
def test_money_that_is_gone_is_a_spend_limit_in_the_apis_own_words_only(message: str, status: int) -> None:
    assert _end(status, _own(message, "rate_limit_error" if status == 429 else "invalid_request_error")).outcome == (
        "spend_limit"
    )
    assert _end(status, {"message": message}).outcome in {"blocked", "rate_limited"}


@pytest.mark.parametrize(
    "message",
    [
        "prompt is too long: 208310 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "This model's maximum context length is 200000 tokens. However, you requested 250000 tokens.",
        "Input is too long for requested model.",
        "Too many input tokens: 250000",
        "The prompt (250000 tokens) does not fit in the model's context window",
        "input token count (250000) exceeds the maximum number of tokens allowed (200000)",
        "Please reduce the length of the messages.",
        "Context window exceeded",
        "The total number of tokens in the prompt (210000) exceeds the limit of 200000.",
    ],
)
def test_a_context_that_overflows_is_too_long_in_any_words_and_through_any_gateway(message: str) -> None:
    wrapped = f"litellm.ContextWindowExceededError: litellm.BadRequestError: AnthropicException - {message}"
    shown = f"Error code: 400 - {_own(message)}"
    for body in (
        _own(message),
        {"error": {"message": message}},
        {"message": message},
        {"error": wrapped},
        {"detail": shown},
    ):
        assert _end(400, body).outcome == "too_long", body


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens: 200000 > 64000, which is the maximum allowed number of output tokens",
        "max_tokens exceeds the output token limit of the model",
        "`temperature` is deprecated for this model.",
        "messages.1.content.0.text: model not found",
        "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes",
        "thinking.budget_tokens: Input should be greater than or equal to 1024",
    ],
)
def test_a_wrong_request_stays_one(message: str) -> None:
    assert _end(400, _own(message)).outcome == "bad_request"


@pytest.mark.parametrize(
    "message",
    [
        "Output blocked by content filtering policy",
        "The response was flagged by our safety classifiers.",
        "Generation was blocked by the output filter",
        "The response was filtered due to the prompt triggering the content management policy.",
        "This request violates our usage policy",
    ],
)
def test_the_output_filter_is_a_refusal_that_costs_nothing(message: str) -> None:
    assert _end(400, _own(message)).outcome == "refused"
    assert _end(400, {"error": {"message": message, "code": "content_filter"}}).outcome == "refused"


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (403, _own("Your API key does not have access to the model x.", "permission_error"), "model_denied"),
        (403, _own("claude-opus-4-7 is not open to this workspace", "permission_error"), "model_denied"),
        (401, {"error": {"message": "key not allowed to access model. Tried to access x"}}, "model_denied"),
        (403, _own("Access to claude-opus-4-7 has been disabled for your organization", "permission_error"),
         "model_denied"),
        (400, _own("Your organization does not have access to claude-opus-4-7"), "model_denied"),
        (403, _own("Your organization was suspended and may use no models", "permission_error"), "unauthorized"),
        (403, _own("OAuth is not allowed for this organization", "permission_error"), "unauthorized"),
        (402, _own("Your credit balance is too low.", "billing_error"), "unauthorized"),
        (401, _own("invalid x-api-key", "authentication_error"), "unauthorized"),
        (403, _own("odd", "invalid_request_error"), "rejected"),
        (400, _own("odd", "an_error_of_next_year"), "rejected"),
        (400, _own("odd", "authentication_error"), "unauthorized"),
        (503, _own("busy", "overloaded_error"), "overloaded"),
        (504, _own("slow", "timeout_error"), "server_error"),
        (400, {"error": "Invalid model name passed in model=claude-opus-4-7. See /v1/models."}, "model_missing"),
        (404, {"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}, "model_missing"),
        (404, {"detail": "Not Found"}, "blocked"),
        (500, {"error": {"message": f"Error code: 400 - {_own('messages: too few')}"}}, "bad_request"),
        (502, {"error": {"message": "x", "metadata": {"raw": json.dumps(_own("no", "rate_limit_error"))}}},
         "rate_limited"),
    ],
)  # fmt: skip
def test_status_type_and_words_decide_together(status: int, body: object, outcome: str) -> None:
    assert _end(status, body).outcome == outcome


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "no such route"}, "no such route"),
        ({"detail": "Field required: messages.0.content"}, "Field required: messages.0.content"),
        ({"detail": [{"loc": ["body", "x"], "msg": "Field required", "input": "PROMPT"}]}, "body.x: Field required"),
        ([{"error": {"code": 400, "message": "Request contains an invalid argument."}}],
         "Request contains an invalid argument."),
        ({"message": "Malformed input request", "code": 400}, "Malformed input request"),
        ({"Message": "User is not authorized"}, "User is not authorized"),
        ({"error": "Bad Request", "message": ["a is short", "b is long"]}, "Bad Request: a is short; b is long"),
        ({"title": "Not allowed", "detail": "by the proxy", "status": 400}, "Not allowed: by the proxy"),
        ({"errors": [{"message": "one"}, {"message": "two"}]}, "one; two"),
        ({"error": {"message": "x"}, "request": {"messages": "PROMPT"}}, "x"),
        ("upstream request rejected: missing header x-team", "upstream request rejected: missing header x-team"),
        ("<html><head><title>Just a\n moment...</title></head><body>PROMPT</body></html>", "Just a moment..."),
        ("a line\nand another\x00", "a line and another\N{REPLACEMENT CHARACTER}"),
    ],
)  # fmt: skip
def test_the_senders_words_are_kept_on_one_line_and_the_request_it_echoes_is_not(body: object, message: str) -> None:
    end = _end(400, body)
    assert end.message.endswith(f": {message}")
    assert "PROMPT" not in end.message


def test_a_long_message_is_cut_and_a_sender_is_named() -> None:
    end = _end(403, "x" * 5_000, server="nginx/1.29")
    assert end.message.startswith("status 403 with plain text from nginx/1.29: xxx")
    assert len(end.message) < 400
    nested = _end(400, {"error": {"message": f"litellm.BadRequestError: {json.dumps(_own('max_tokens: too large'))}"}})
    assert (nested.outcome, nested.message) == ("bad_request", "max_tokens: too large")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"retry-after": "12s"}, 12.0),
        ({"retry-after": "500 ms"}, 0.5),
        ({"retry-after": "2m"}, 120.0),
        ({"retry-after": "Sun, 29 Nov 2026 10:00:12 GMT", "date": "Sun, 29 Nov 2026 10:00:00 GMT"}, 12.0),
        ({"retry-after": "Sunday, 29-Nov-26 10:00:12 GMT", "date": "Sun, 29 Nov 2026 10:00:00 GMT"}, 12.0),
        ({"retry-after": "2026-11-29T10:00:12Z", "date": "Sun, 29 Nov 2026 10:00:00 GMT"}, 12.0),
        ({"retry-after": "Sun, 29 Nov 2026 09:00:00 GMT", "date": "Sun, 29 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"retry-after": "Sun, 29 Nov 2099 10:00:00 GMT", "date": "Sun, 29 Nov 2026 10:00:00 GMT"}, 604_800.0),
        ({"retry-after": "next Tuesday"}, None),
        ({}, None),
    ],
)
def test_advice_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert _end(429, _own("no", "rate_limit_error"), **headers).retry_after_s == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [("Please try again in 20s.", 20.0), ("Retry after 300 ms", 0.3), ("wait for 2 minutes", 120.0), ("later", None)],
)
def test_advice_may_stand_in_the_message(message: str, seconds: float | None) -> None:
    end = classify(error(429, message))
    assert isinstance(end, Failure)
    assert end.retry_after_s == seconds
