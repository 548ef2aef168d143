"""The errors that a caller gets in place of an answer, with the provider's status, error type and body."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from models.errors import (
    InputError,
    InputMistakes,
    KeyConflictError,
    LedgerError,
    NotFoundError,
    StepdownError,
    UnpricedModelError,
)
from models.job.answer import Answer
from models.outcome import OVER_BUDGET, Outcome, State

_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
LIMITED, OVERLOADED = 429, 529  # a later time may help
LATER_S = 5.0  # the wait if no better estimate is known
_LONGEST_WAIT_S = 60.0  # the provider's SDKs obey no longer wait
_SERVER_ERROR = 500
_NO_LEDGER = "the ledger cannot be reached, and nothing was accepted; send it again later"
_NO_PRICE = "a model of the chain has no price here, so nothing is accepted: whoever runs this server sets it"
_OF_ERRORS: tuple[tuple[type[Exception], int, str | None], ...] = (
    (InputError, 400, None),
    (InputMistakes, 400, None),
    (KeyConflictError, 409, None),
    (NotFoundError, 404, None),
    (LedgerError, 503, _NO_LEDGER),  # the error itself names our database
    (UnpricedModelError, 503, _NO_PRICE),
)
_STATUSES: Mapping[int, tuple[str, ...]] = {
    400: (Outcome.BAD_REQUEST, Outcome.REJECTED, Outcome.TOO_LONG, Outcome.REFUSED),
    402: (OVER_BUDGET,),
    413: (Outcome.TOO_LARGE, Outcome.OVER_LIMIT),  # no later time helps
    LIMITED: (Outcome.RATE_LIMITED, Outcome.RAMP_LIMITED, "limited"),
    502: (Outcome.BLOCKED,),
    # UNAUTHORIZED is about our key, not the caller's: a 401 would have him change his own.
    503: (Outcome.UNAUTHORIZED, Outcome.SPEND_LIMIT, Outcome.REDIRECTED, Outcome.MODEL_DENIED),
    504: (Outcome.TIMED_OUT,),
    OVERLOADED: (Outcome.OVERLOADED, "circuit_open", "full", "expired"),
}
_OF_OUTCOMES = {outcome: status for status, outcomes in _STATUSES.items() for outcome in outcomes}


class Refusal(StepdownError):  # noqa: N818 - an answer, not a failure of ours
    """A request is answered with an error: an HTTP status, and a message with the next step.

    The provider's SDKs send the request again after `retry_after_s`, unless the refusal `is_for_good`. A refusal that
    `hangs_up` ends the connection without the rest of the body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        is_for_good: bool = False,
        retry_after_s: float | None = None,
        hangs_up: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.is_for_good = is_for_good
        self.retry_after_s = retry_after_s
        self.hangs_up = hangs_up

    @property
    def headers(self) -> dict[str, str]:
        """The headers by which the provider's SDKs send the request again, or do not."""
        hanging_up = {"connection": "close"} if self.hangs_up else {}
        if self.retry_after_s is None:
            return ({"x-should-retry": "false"} if self.is_for_good else {}) | hanging_up
        wait_s = ceil(min(max(self.retry_after_s, 1.0), _LONGEST_WAIT_S))
        again = {"x-should-retry": "false" if self.is_for_good else "true", "retry-after": str(wait_s)}
        return again | hanging_up

    @property
    def kind(self) -> str:
        """The provider's type of the error."""
        return _TYPES.get(self.status, "api_error" if self.status >= _SERVER_ERROR else "invalid_request_error")

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the error as the provider does."""
        return {"type": "error", "error": {"type": self.kind, "message": str(self)}, "request_id": request_id}


def refusal_of(error: StepdownError) -> Refusal:
    """Return an error of ours as a refusal."""
    if isinstance(error, Refusal):
        return error
    for kind, status, message in _OF_ERRORS:
        if isinstance(error, kind):
            return Refusal(status, message or str(error))
    return Refusal(_SERVER_ERROR, "something is not set up here; whoever runs this server can see what")


def broken_off(outcome: str, job_id: str) -> Refusal:
    """Return the error for a client that has the beginning of an answer whose call ended so (`outcome`)."""
    message = f"the answer broke off ({outcome or 'replaced'}); the ledger has the end of job {job_id}"
    return Refusal(_OF_OUTCOMES.get(outcome, _SERVER_ERROR), message, is_for_good=True)


def refusal_for(answer: Answer, *, is_kept: bool) -> Refusal:
    """Return the refusal for a job that ended without an answer.

    The chain has tried every model, so a repeated request would buy the same again. A client may repeat a request only
    if nothing was bought and a later time may help. A repeat under a key (`is_kept`) would find the same failed job.
    """
    if answer.state is State.WAITING:
        message = f"held until a person decides: {answer.error or answer.outcome} (job {answer.job_id})"
        return Refusal(503, message, is_for_good=True)
    if answer.state is State.CANCELLED:
        return Refusal(503, f"cancelled by a person (job {answer.job_id})", is_for_good=True)
    if answer.state is State.SUCCEEDED:
        return Refusal(404, f"was answered, and the answer is purged (job {answer.job_id})", is_for_good=True)
    status = _OF_OUTCOMES.get(answer.outcome or "", _SERVER_ERROR)
    ended = answer.error or f"ended as {answer.outcome}, without an answer"
    is_later = status in (LIMITED, OVERLOADED)
    is_for_good = is_kept or not is_later or answer.cost_usd != 0
    after_s = LATER_S if is_later else None
    return Refusal(status, f"{ended} (job {answer.job_id})", is_for_good=is_for_good, retry_after_s=after_s)
