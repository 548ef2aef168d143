"""The end of a call as a value: the provider's bytes become an outcome."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from models.chain.cloud_error import by_cloud
from models.chain.provider_error import ProviderError, one_line, read_error
from models.money.usage import Usage, usage_from, with_searches
from models.outcome import Outcome
from models.text import line
from worker.provider.error_outcome import outcome_of
from worker.provider.reply import REQUEST_IDS, Broken, Failure, Received, Reply
from worker.provider.retry_after import retry_after_s

# A stop reason that is missing here is no answer: the next reason of the API may be another pause.
_BY_STOP_REASON = {
    "end_turn": Outcome.ANSWERED,
    "stop_sequence": Outcome.ANSWERED,
    "tool_use": Outcome.ANSWERED,
    "max_tokens": Outcome.TRUNCATED,
    "model_context_window_exceeded": Outcome.TRUNCATED,
    "refusal": Outcome.REFUSED,
    "pause_turn": Outcome.UNFINISHED,
}
_FORMS = {"page": "a page", "text": "plain text", "json": "JSON that is not the API's", "none": "no body"}
_OK = 200
_UNCOUNTED = Usage(input_tokens=0, output_tokens=0, is_sure=False)  # stands for no usage in a reply that is a part


def classify(
    end: Received | Broken, *, now: datetime | None = None, lifetimes: Collection[str] = ("5m",)
) -> Reply | Failure:
    """Separate a Message from everything else. `now` counts if a reply has no Date.

    A 200 is not yet a success: the body is checked. `lifetimes` are the cache lifetimes that the request asks for.
    """
    if isinstance(end, Broken):
        return _broken(end, lifetimes)
    at = now or datetime.now(UTC)
    if end.status == _OK:
        return reply_of(end, _json_object(end.body), lifetimes) or _malformed(end, at)
    error = read_error(end.body)
    if end.cloud is not None and error.form == "json":
        error = by_cloud(error, end.cloud, _json(end.body), end.headers)
    outcome = outcome_of(end.status, error, is_direct=end.is_direct)
    return _failure(end, outcome, error, message=_message_of(end, outcome, error), now=at)


def reply_of(end: Received, body: Mapping[str, Any], lifetimes: Collection[str]) -> Reply | None:
    """Read the parsed body of a 200. Returns None if the body is not a Message with usage.

    A compatible server may count nothing: the answer is kept, and its tokens and its cost are unknown.
    """
    usage = usage_from(body["usage"], lifetimes=lifetimes) if isinstance(body.get("usage"), dict) else None
    model, content = line(body.get("model")), body.get("content")
    is_uncounted = end.is_direct and bool(content) and (usage is None or not usage.output_tokens)
    usage = _UNCOUNTED if is_uncounted else usage
    if body.get("type") != "message" or usage is None or not model or not _are_blocks(content):
        return None
    stop_reason = line(body.get("stop_reason")) or ""
    outcome = _BY_STOP_REASON.get(stop_reason, Outcome.UNCLEAR)
    return Reply(
        outcome=outcome,
        message=body,
        usage=with_searches(usage, sum(map(_is_search, body["content"]))),
        served_model=model,
        stop_reason=stop_reason,
        message_id=line(body.get("id")),
        request_id=_request_id(end.headers),
        latency_ms=end.latency_ms,
        category=_detail(body, "category") if outcome is Outcome.REFUSED else "",
        explanation=_detail(body, "explanation") if outcome is Outcome.REFUSED else "",
        is_part=end.begun is not None or is_uncounted,
        is_least=end.begun is not None and end.begun.has_output and usage.is_sure,
    )


def _broken(end: Broken, lifetimes: Collection[str]) -> Failure:
    """Keep the usage that a stream has shown. Contradictory figures are no bound of the bill."""
    failure = Failure(outcome=Outcome(end.how), message=end.detail, latency_ms=end.latency_ms, deadline=end.deadline)
    begun = end.begun
    if begun is None:
        return failure
    usage = usage_from(begun.usage, lifetimes=lifetimes)
    return replace(
        failure,
        http_status=_OK,
        error_type=line(end.error_type),
        request_id=_request_id(end.headers),
        message_id=begun.message_id,
        served_model=begun.served_model,
        usage=usage,
        is_least=begun.has_output and usage is not None and usage.is_sure,
    )


def _are_blocks(content: object) -> bool:
    return isinstance(content, list) and all(isinstance(block, dict) for block in content)


def _is_search(block: Mapping[str, Any]) -> bool:
    """Return whether a block holds the result of a web search. A failed search is not billed, and holds an error."""
    return block.get("type") == "web_search_tool_result" and isinstance(block.get("content"), list)


def _detail(body: Mapping[str, Any], name: str) -> str:
    """Read why a model declined. The API sends `stop_details`; each field may be missing."""
    details = body.get("stop_details")
    value = details.get(name) if isinstance(details, dict) else None
    return one_line(value) if isinstance(value, str) else ""


def _malformed(end: Received, now: datetime) -> Failure:
    kind = line(end.headers.get("content-type")) or "no content type"
    error = read_error(end.body)
    words = f": {error.message}" if error.message and error.is_own else ""  # another's body may be an answer
    message = f"status 200 with {len(end.body)} bytes of {kind} that are not a Message with usage{words}"
    return _failure(end, Outcome.MALFORMED, error, message=message, now=now)


def _message_of(end: Received, outcome: Outcome, error: ProviderError) -> str:
    """Return the sender's own words, and the sender if the sender is not the API."""
    if outcome is Outcome.REDIRECTED:
        return f"status {end.status} sends every call on to {_address(end.headers.get('location'))}"
    if error.is_own:
        return error.message or f"status {end.status} without a message"
    server = line(end.headers.get("server"))
    sender = f"status {end.status} with {_FORMS[error.form]}{f' from {server}' if server else ''}"
    return f"{sender}: {error.message}" if error.message else f"{sender} without a message"


def _address(location: str | None) -> str:
    """Return the address of a redirect without possible secrets: a login page's query, a password."""
    try:
        parts = urlsplit(location or "")
        host = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}" if parts.hostname else ""
    except ValueError:
        return "an address that cannot be read"
    return one_line(f"{host}{parts.path}") or "an address that it does not name"


def _failure(end: Received, outcome: Outcome, error: ProviderError, *, message: str, now: datetime) -> Failure:
    return Failure(
        outcome=outcome,
        message=message,
        latency_ms=end.latency_ms,
        http_status=end.status,
        error_type=line(error.kind),
        error_code=line(error.code),
        retry_after_s=retry_after_s(end.headers, now=now, message=error.text),
        request_id=_request_id(end.headers),
    )


def _request_id(headers: Mapping[str, str]) -> str | None:
    return next((found for name in REQUEST_IDS if (found := line(headers.get(name)))), None)


def _json_object(body: bytes) -> Mapping[str, Any]:
    value = _json(body)
    return value if isinstance(value, dict) else {}


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
