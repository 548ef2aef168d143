"""Replies that are not the API's: redirects, pages of gateways, and JSON of other shapes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_REDIRECTS = (301, 302, 307, 308)
_GATEWAY = (502, 503, 504)
_CLOUDFLARE = {
    520: "Web server is returning an unknown error",
    521: "Web server is down",
    522: "Connection timed out",
    523: "Origin is unreachable",
    524: "A timeout occurred",
}
_EDGE = {"server": "cloudflare", "cf-ray": "9f0000000000dc74-LHR"}
_INNER = {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: too large"}}
_INNER_TOO_LONG = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "prompt is too long: 208310 tokens > 200000 maximum"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A reply of a gateway. The content type follows from the body if the field is empty."""

    status: int
    body: str = ""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """The content type that is sent."""
        if self.content_type:
            return self.content_type
        first = self.body.lstrip()[:1]
        return {"{": "application/json", "[": "application/json", "<": "text/html"}.get(first, "text/plain")


def _html(status: int, title: str, headers: Mapping[str, str] | None = None) -> Page:
    body = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Page(status=status, body=body, headers=headers or {})


def _shape(body: object) -> Page:
    return Page(status=400, body=json.dumps(body))


def _openai(message: str) -> Page:
    return _shape({"error": {"message": message, "type": None, "param": None, "code": "400"}})


PAGES: dict[str, Page] = {
    **{str(status): _html(status, f"{status} {HTTPStatus(status).phrase}") for status in _REDIRECTS},
    "200_page": _html(200, "Just a moment..."),
    "403_page": _html(403, "Sorry, you have been blocked", _EDGE),
    **{f"{status}_page": _html(status, f"{status} {HTTPStatus(status).phrase}") for status in _GATEWAY},
    **{f"{status}_page": _html(status, f"{status}: {title}", _EDGE) for status, title in _CLOUDFLARE.items()},
    "499_empty": Page(status=499),
    "400_text": Page(status=400, body="upstream request rejected: missing header x-team"),
    "400_error_text": _shape({"error": "Invalid model name passed in model={model}. See /v1/models."}),
    "400_detail": _shape({"detail": "Field required: messages.0.content"}),
    "400_list": _shape([{"error": {"code": 400, "message": "Invalid argument.", "status": "INVALID_ARGUMENT"}}]),
    "400_message": _shape({"message": "Malformed input request: extraneous key is not permitted", "code": 400}),
    "400_openai": _openai(f"litellm.BadRequestError: AnthropicException - {json.dumps(_INNER)}"),
    "400_wrapped_too_long": _openai(
        f"litellm.ContextWindowExceededError: litellm.BadRequestError: AnthropicException - "
        f"{json.dumps(_INNER_TOO_LONG)}"
    ),
}
