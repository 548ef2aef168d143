"""Admission control: whether a request may leave now. Acquired before the request, released after the request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

PAUSED = "paused"  # the key is refused or without money: no request leaves
CIRCUIT_OPEN = "circuit_open"  # the model, or its whole endpoint, is out of rotation
OUTAGE = "outage"  # the kind of a breaker that holds a whole endpoint back
LIMITED = "limited"  # the group's rate limits are used up
FULL = "full"  # the model has no place for another call in flight
RETRIES_SPENT = "retries_spent"  # the worker has repeated as much as its budget allows


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that wants to leave.

    Tokens are estimates: the input that no cache holds, and the output. After `hold_s` without an end the worker is
    lost. `patience_s` is how long the job waits for this model: for a shorter wait, admission control reserves tokens.
    `has_waited`: the job has waited, and is ahead of newcomers. `queue_s` is the patience for a place in flight, which
    is our own limit; None: as long as `patience_s`. `job` is the job's id. `is_again`: an earlier call of the job on
    this model ended in a server error.
    """

    ticket: str
    job: str
    model: str
    group: str
    input_tokens: int
    output_tokens: int
    hold_s: float
    patience_s: float
    queue_s: float | None = None
    is_urgent: bool = False
    is_retry: bool = False
    has_waited: bool = False
    is_again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The request may leave, after `after_s` (at most 1 s), and has its tokens. A probe is alone on its model."""

    after_s: float = 0.0
    is_probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """The request may not leave now, and may after `wait_s` seconds. `details` are figures for a person."""

    wait_s: float
    reason: str
    details: Mapping[str, float | str] = field(default_factory=dict)


ResultKind = Literal[
    "well",
    "limited",
    "ramped",
    "overloaded",
    "server_error",
    "timed_out",
    "unreachable",
    "missing",
    "key_refused",
    "not_sent",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The end of a request that was granted, reported once. `not_sent`: the request did not leave after all.

    Tokens are the billed ones, if known: input that no cache held, and output. `limits` holds for each kind
    ("requests", "input", "output") the limit per minute and its rest, from the reply's headers. `is_slow`: the reply is
    good, and far slower than the normal of its model. `is_again` is the request's. `is_own_fault`: the failure is the
    fault of the job's own request, not of the model.
    """

    ticket: str
    model: str
    group: str
    how: ResultKind
    latency_ms: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    retry_after_s: float | None = None
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    is_slow: bool = False
    is_again: bool = False
    is_own_fault: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The number of requests that could leave a model soon. `is_closed`: no request can until the model is back."""

    free: int
    is_closed: bool


# A change of the model's circuit breaker, or of the endpoint's. key_works: the key was refused to this request, and
# answers other requests.
Change = Literal["", "opened", "closed", "endpoint_opened", "endpoint_closed", "key_works"]


class Admission(Protocol):
    """Decides for the whole fleet which request leaves when."""

    async def acquire(self, need: Request) -> Granted | Denied:
        """Grant or deny a request; a denial has a time to wait."""

    async def release(self, ended: Result) -> Change:
        """Record the end of a granted request. Returns the change of the model's circuit breaker."""

    def capacity(self, models: Mapping[str, str], *, horizon_s: float) -> Mapping[str, Capacity]:
        """Return for each model the number of requests that could leave within `horizon_s`. `models` has each group."""


class BlockingAdmission(Protocol):
    """An `Admission` whose calls block their thread."""

    def answer(self, group: Sequence[Request | Result]) -> Sequence[Granted | Denied | Change]:
        """Acquire and release, in the order of the group."""

    def capacity(self, models: Mapping[str, str], *, horizon_s: float) -> Mapping[str, Capacity]:
        """Return for each model the number of requests that could leave within `horizon_s`. `models` has each group."""
