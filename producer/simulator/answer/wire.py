"""The bytes and headers of a reply: a message, an error of the API, or a page of a gateway."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

from producer.simulator.answer.compose import Generated, message_json
from producer.simulator.answer.pages import Page
from producer.simulator.request.errors import error_json, filled

if TYPE_CHECKING:
    from datetime import datetime

    from producer.simulator.answer.rule import Rule
    from producer.simulator.request.prompt import Prompt

_REDIRECTS = range(300, 400)


def page_of(rule: Rule) -> Page | None:
    """Return the page of a rule. Returns None if the answer is the API's own."""
    if rule.answer.content != "page":
        return None
    page = rule.answer.page
    if page is None:
        return Page(status=rule.status, body=rule.body, content_type=rule.content_type, headers=rule.headers)
    return replace(page, headers={"location": rule.location}) if page.status in _REDIRECTS else page


def status_of(rule: Rule) -> int:
    """Return the status of a rule's reply; an error may come with 200."""
    if (page := page_of(rule)) is not None:
        return page.status
    return rule.answer.error.status if rule.answer.error and rule.answer.word != "error_200" else 200


def body_of(rule: Rule, prompt: Prompt, generated: Generated | None, *, message_id: str, request_id: str) -> bytes:
    """Return the body of a rule's reply."""
    answer = rule.answer
    if (page := page_of(rule)) is not None:
        return filled(page.body, prompt).encode("utf-8", "surrogatepass")
    if answer.error is not None:
        return error_json(answer.error, request_id, prompt)
    if generated is None or answer.content == "empty":
        return b""
    body = message_json(generated, rule, message_id, with_usage=answer.content != "no_usage")
    return body[: len(body) * 2 // 3] + b"," if answer.content == "malformed" else body


def retry_after(seconds: float, form: str, now: datetime) -> dict[str, str]:
    """Return the header that advises when to come back: in seconds, as an HTTP date, in milliseconds, or no header."""
    match form:
        case "date":
            at = now + timedelta(seconds=math.ceil(seconds))
            return {"retry-after": format_datetime(at, usegmt=True)}
        case "ms":
            return {"retry-after-ms": str(math.ceil(seconds * 1000))}
        case "none":
            return {}
    return {"retry-after": str(int(seconds)) if seconds == int(seconds) else f"{seconds:.3f}"}
