"""Every word a script may answer with: what is sent, how it is delivered and whether it is billed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Delivery = Literal["whole", "hang", "drip", "reset_before", "reset_after", "cut"]
Content = Literal["message", "error", "malformed", "empty", "html", "no_usage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiError:
    """An error as the API words it; `code` is its `details.error_code`."""

    status: int
    type: str
    message: str
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How one word is answered; `billed` says what the provider would do unless the rule says otherwise.

    `needs` and `takes` are the extra fields of a rule with this answer.
    """

    word: str
    delivery: Delivery = "whole"
    content: Content = "message"
    error: ApiError | None = None
    billed: bool = True
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()


_REGAIN = "You will regain access on 2027-01-01 at 00:00 UTC."

ERRORS: dict[str, ApiError] = {
    "400": ApiError(
        status=400,
        type="invalid_request_error",
        message="messages.0.content: Input should be a valid list",
    ),
    "400_too_long": ApiError(
        status=400,
        type="invalid_request_error",
        message="prompt is too long: 1000001 tokens > 1000000 maximum",
    ),
    "400_spend_limit": ApiError(
        status=400,
        type="invalid_request_error",
        message=f"You have reached your specified API usage limits. {_REGAIN}",
    ),
    "401": ApiError(status=401, type="authentication_error", message="invalid x-api-key"),
    "402": ApiError(
        status=402,
        type="billing_error",
        message="Your credit balance is too low to access the Anthropic API. "
        "Please go to Plans & Billing to upgrade or purchase credits.",
    ),
    "403": ApiError(
        status=403,
        type="permission_error",
        message="Your API key does not have permission to use the specified resource.",
    ),
    "404": ApiError(status=404, type="not_found_error", message="model: not found"),
    "408": ApiError(status=408, type="timeout_error", message="Request timed out."),
    "413": ApiError(
        status=413,
        type="request_too_large",
        message="Request exceeds the maximum size",
    ),
    "429": ApiError(
        status=429,
        type="rate_limit_error",
        message="This request would exceed your account's rate limit. Please try again later.",
    ),
    "429_spend_limit": ApiError(
        status=429,
        type="rate_limit_error",
        message="Your organization has reached the monthly API usage threshold of its tier.",
        code="enforced_spend_limit_reached",
    ),
    "429_ramp_limit": ApiError(
        status=429,
        type="rate_limit_error",
        message="This request would exceed how fast your organization's usage may grow.",
        code="ramp_limit_exceeded",
    ),
    "500": ApiError(status=500, type="api_error", message="Internal server error"),
    "502": ApiError(status=502, type="api_error", message="Bad gateway"),
    "503": ApiError(status=503, type="api_error", message="Service unavailable"),
    "504": ApiError(status=504, type="timeout_error", message="Gateway timeout"),
    "529": ApiError(status=529, type="overloaded_error", message="Overloaded"),
}

_RETRY_AFTER = {"429", "429_ramp_limit", "500", "502", "503", "529"}
# A 5xx is presumed free; a rule may say that this one was generated and billed all the same.
_MAY_BE_BILLED = {"408", "500", "502", "503", "504", "529"}


def _error_answer(word: str, error: ApiError) -> Answer:
    takes = {"retry_after_s"} if word in _RETRY_AFTER else set()
    takes |= {"billed"} if word in _MAY_BE_BILLED else set()
    return Answer(word=word, content="error", error=error, billed=False, takes=frozenset(takes))


def _generated(
    word: str,
    *,
    delivery: Delivery = "whole",
    content: Content = "message",
    needs: str = "",
    takes: str = "",
) -> Answer:
    extra = frozenset(takes.split()) | {"billed", "web_searches", "iterations"}
    return Answer(word=word, delivery=delivery, content=content, needs=frozenset(needs.split()), takes=extra)


ANSWERS: dict[str, Answer] = {
    answer.word: answer
    for answer in (
        *(_error_answer(word, error) for word, error in ERRORS.items()),
        Answer(word="error_200", content="error", error=ERRORS["529"], billed=False),
        _generated("ok"),
        _generated("slow", needs="delay_s"),
        _generated("text", needs="text"),
        _generated("hang", delivery="hang"),
        _generated("drip", delivery="drip", takes="every_s"),
        _generated("reset_before", delivery="reset_before"),
        _generated("reset_after", delivery="reset_after"),
        _generated("cut", delivery="cut"),
        _generated("malformed", content="malformed"),
        _generated("empty", content="empty"),
        _generated("html_200", content="html"),
        _generated("no_usage", content="no_usage"),
        _generated("other_model", needs="served_model"),
        _generated("other_tier", needs="service_tier"),
        _generated("geo_us"),
        _generated("refusal", takes="output"),
        _generated("tool_use", needs="tool", takes="tool_input text"),
        _generated("max_tokens"),
        _generated("context_exceeded"),
        _generated("usage_x10"),
    )
}
