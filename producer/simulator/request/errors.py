"""The API's own errors: status, type, message and code. Names in braces are filled in for each request."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producer.simulator.request.prompt import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiError:
    """An error in the API's words; `code` is the API's `details.error_code`."""

    status: int
    type: str
    message: str
    code: str | None = None


_CONTEXT_LIMIT = (
    "input length and `max_tokens` exceed context limit: {tokens} + {max_tokens} > {window}, "
    "decrease input length or `max_tokens` and try again"
)
_NO_CREDIT = (
    "Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits."
)
_REGAIN = "You will regain access on 2027-01-01 at 00:00 UTC."
_CLOSED = ("api_error", "The connection was closed before the reply was complete.")

_WORDED: dict[str, tuple[str, str]] = {
    "400": ("invalid_request_error", "messages.0.content: Input should be a valid list"),
    "400_too_long": ("invalid_request_error", "prompt is too long: 1000001 tokens > 1000000 maximum"),
    "400_context_limit": ("invalid_request_error", _CONTEXT_LIMIT),
    "400_spend_limit": ("invalid_request_error", f"You have reached your specified API usage limits. {_REGAIN}"),
    "400_disabled": ("invalid_request_error", "This organization has been disabled."),
    "400_output_filter": ("invalid_request_error", "Output blocked by content filtering policy"),
    "401": ("authentication_error", "invalid x-api-key"),
    "402": ("billing_error", _NO_CREDIT),
    "403": ("permission_error", "Your API key does not have permission to use the specified resource."),
    "403_model": ("permission_error", "Your API key does not have access to the model {model}."),
    "404": ("not_found_error", "model: not found"),
    "408": ("timeout_error", "Request timed out."),
    "409": _CLOSED,
    "413": ("request_too_large", "Request exceeds the maximum size"),
    "421": _CLOSED,
    "425": _CLOSED,
    "429": ("rate_limit_error", "This request would exceed your account's rate limit. Please try again later."),
    "429_spend_limit": (
        "rate_limit_error",
        "Your organization has reached the monthly API usage threshold of its tier.",
    ),
    "429_ramp_limit": ("rate_limit_error", "This request would exceed how fast your organization's usage may grow."),
    "499": _CLOSED,
    "500": ("api_error", "Internal server error"),
    "502": ("api_error", "Bad gateway"),
    "503": ("api_error", "Service unavailable"),
    "504": ("timeout_error", "Gateway timeout"),
    "529": ("overloaded_error", "Overloaded"),
}
_CODES = {"429_spend_limit": "enforced_spend_limit_reached", "429_ramp_limit": "ramp_limit_exceeded"}

ERRORS: dict[str, ApiError] = {
    word: ApiError(status=int(word[:3]), type=kind, message=message, code=_CODES.get(word))
    for word, (kind, message) in _WORDED.items()
}


def filled(text: str, prompt: Prompt) -> str:
    """Return the text with the request's own {model}, {tokens}, {max_tokens} and {window}."""
    figures: Mapping[str, object] = {
        "{model}": prompt.body["model"],
        "{tokens}": prompt.tokens,
        "{max_tokens}": prompt.max_tokens,
        "{window}": prompt.model.context,
    }
    for name, figure in figures.items():
        text = text.replace(name, str(figure))
    return text


def error_json(error: ApiError, request_id: str, prompt: Prompt | None = None) -> bytes:
    """Spell an error as the API does."""
    if prompt is not None:
        error = replace(error, message=filled(error.message, prompt))
    body: dict[str, object] = {"type": error.type, "message": error.message}
    if error.code is not None:
        body["details"] = {"error_code": error.code}
    return json.dumps({"type": "error", "error": body, "request_id": request_id}).encode()
