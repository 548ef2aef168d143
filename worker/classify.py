"""What each end of a call means: bytes from the provider to one word. Every row of faults.md, section 2, is here."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from models.line import line
from models.outcome import Outcome
from models.usage import usage_from
from worker.reply import Broken, Failure, Received, Reply

_BROKEN = {
    "unreachable": Outcome.UNREACHABLE,
    "cut": Outcome.CUT,
    "timed_out": Outcome.TIMED_OUT,
}
_TRUNCATING = {"max_tokens", "model_context_window_exceeded"}
_BY_STATUS = {
    400: Outcome.BAD_REQUEST,
    401: Outcome.UNAUTHORIZED,
    402: Outcome.UNAUTHORIZED,
    403: Outcome.UNAUTHORIZED,
    404: Outcome.MODEL_MISSING,
    408: Outcome.SERVER_ERROR,  # the server's own timeout: nothing was generated
    413: Outcome.TOO_LARGE,
    429: Outcome.RATE_LIMITED,
    529: Outcome.OVERLOADED,
}
_BY_CODE = {
    "ramp_limit_exceeded": Outcome.RAMP_LIMITED,
    "organization_on_hold": Outcome.UNAUTHORIZED,  # sent with 400, as the next two, and yet not about the job
    "cmek_key_disabled": Outcome.UNAUTHORIZED,
    "cmek_key_network_blocked": Outcome.UNAUTHORIZED,
}
# A 400 for spent money has no code, only these sentences. What the API says of a common 400 is `field: what is wrong`,
# and a job that names its field like one of them must not pause the key for everybody: hence nothing after a colon.
_MONEY_IS_SPENT = re.compile(
    r"(you have reached your specified (\w+ )?api usage limit|your credit balance is too low"
    r"|your (workspace|organization)\b.* has reached .*\b(spend|usage) (limit|threshold))(?!.*: )",
    re.DOTALL,
)
_TOO_LONG = re.compile(r"(input or )?prompt is too long(: \d|\W*$)")
_LONGEST_ADVICE_S = 7 * 86_400.0  # its column counts milliseconds in 32 bits
_OK = 200
_CLIENT_ERROR = 400
_SERVER_ERROR = 500


def classify(end: Received | Broken) -> Reply | Failure:
    """Tell a Message from everything else. A 200 is not yet a success: its body is checked."""
    if isinstance(end, Broken):
        return Failure(outcome=_BROKEN[end.how], said=end.detail, latency_ms=end.latency_ms)
    body = _json_object(end.body)
    if end.status == _OK:
        return _reply(end, body) or _malformed(end, body)
    return _error(end, body)


def _reply(end: Received, body: Mapping[str, Any]) -> Reply | None:
    usage = usage_from(body["usage"]) if isinstance(body.get("usage"), dict) else None
    model, stop_reason, content = line(body.get("model")), line(body.get("stop_reason")), body.get("content")
    if body.get("type") != "message" or usage is None or not model or not stop_reason or not _are_blocks(content):
        return None
    return Reply(
        outcome=_outcome_of(stop_reason),
        message=body,
        usage=usage,
        served_model=model,
        stop_reason=stop_reason,
        message_id=line(body.get("id")),
        request_id=line(end.headers.get("request-id")),
        latency_ms=end.latency_ms,
    )


def _are_blocks(content: object) -> bool:
    return isinstance(content, list) and all(isinstance(block, dict) for block in content)


def _outcome_of(stop_reason: str) -> Outcome:
    if stop_reason in _TRUNCATING:
        return Outcome.TRUNCATED
    return Outcome.REFUSED if stop_reason == "refusal" else Outcome.ANSWERED


def _malformed(end: Received, body: Mapping[str, Any]) -> Failure:
    error = _error_object(body)
    kind = line(end.headers.get("content-type")) or "no content type"
    said = f"status 200 with {len(end.body)} bytes of {kind} that are not a Message with usage"
    return _failure(end, Outcome.MALFORMED, error, said=said)


def _error(end: Received, body: Mapping[str, Any]) -> Failure:
    error = _error_object(body)
    said = line(error.get("message")) or f"status {end.status} without a message"
    return _failure(end, _outcome_of_error(end.status, _code(error), str(error.get("message", ""))), error, said=said)


def _outcome_of_error(status: int, code: str, message: str) -> Outcome:
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code.endswith("spend_limit_reached") or (status in {400, 429} and _MONEY_IS_SPENT.match(message.lower())):
        return Outcome.SPEND_LIMIT
    if status == _CLIENT_ERROR and _TOO_LONG.match(message.lower()):
        return Outcome.TOO_LONG
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= _SERVER_ERROR:
        return Outcome.SERVER_ERROR
    return Outcome.BAD_REQUEST if status >= _CLIENT_ERROR else Outcome.MALFORMED


def _failure(end: Received, outcome: Outcome, error: Mapping[str, Any], *, said: str) -> Failure:
    return Failure(
        outcome=outcome,
        said=said,
        latency_ms=end.latency_ms,
        http_status=end.status,
        error_type=line(error.get("type")),
        error_code=line(_code(error)),
        retry_after_s=_retry_after_s(end.headers.get("retry-after")),
        request_id=line(end.headers.get("request-id")),
    )


def _code(error: Mapping[str, Any]) -> str:
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    return code if isinstance(code, str) else ""


def _retry_after_s(header: str | None) -> float | None:
    # The API sends seconds; a date or nonsense counts as no advice.
    try:
        seconds = float(header or "nan")
    except ValueError:
        return None
    return min(seconds, _LONGEST_ADVICE_S) if math.isfinite(seconds) and seconds >= 0 else None


def _error_object(body: Mapping[str, Any]) -> Mapping[str, Any]:
    error = body.get("error")
    return error if isinstance(error, dict) else {}


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
